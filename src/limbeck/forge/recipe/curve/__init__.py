"""The curve: one recipe as a pattern for many, over sparsities, so that one can choose.

In: a recipe, and its section [curve]. Out: an artifact for each point, and what every one of them
is worth: accuracy with interval, milliseconds, megabytes. `plan` says which recipes, `make` runs
and measures them, `judging` compares, `page` and `record` tell. Neighbours: the recipe's runner
makes each point as it makes any artifact.
"""

from limbeck.forge.recipe.curve.judging import Curve, Measured
from limbeck.forge.recipe.curve.make import make
from limbeck.forge.recipe.curve.plan import Point, points
from limbeck.forge.recipe.curve.record import rows

__all__ = ["Curve", "Measured", "Point", "make", "points", "rows"]

"""Recipes: a file that says how an artifact is made, and a run that makes it, killed or not.

In: TOML (sections data, task, run, gate, and stages in order) and the files that it names. Out: a
run's directory with a folder a stage, a ledger, a report, and the artifact if the gate lets it
pass. Neighbours: the forge's steps and `limbeck.evaluation` do the work; `limbeck compress` asks.
"""

from limbeck.forge.recipe.curve import Curve
from limbeck.forge.recipe.curve import make as make_curve
from limbeck.forge.recipe.defaults import recipe_for
from limbeck.forge.recipe.finish import Finished
from limbeck.forge.recipe.runner import Options, run
from limbeck.forge.recipe.schema import parse, read, to_toml
from limbeck.forge.recipe.sections import Recipe
from limbeck.forge.recipe.seeds import Spread, run_seeds

__all__ = [
    "Curve",
    "Finished",
    "Options",
    "Recipe",
    "Spread",
    "make_curve",
    "parse",
    "read",
    "recipe_for",
    "run",
    "run_seeds",
    "to_toml",
]

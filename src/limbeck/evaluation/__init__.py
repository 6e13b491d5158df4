"""How good a model's answers are: labelled rows through its pipeline -> metrics with intervals.

In: a file (or rows) and a model that runs in the engine. Out: `Scored` values, which hold a metric
as a function of rows, so that models can be compared row by row and slice by slice.
Neighbours: `data` reads, `pipeline` answers, `tasks` scores; the forge's gate and `limbeck
evaluate` stand above.
"""

from limbeck.evaluation.compare import Comparison, compare
from limbeck.evaluation.examples import Columns, Examples, problem_of, read_examples
from limbeck.evaluation.gate import Limits, Verdict, judge
from limbeck.evaluation.glue import GLUE_TASKS, GlueTask, glue_files, read_glue
from limbeck.evaluation.scored import Scored
from limbeck.evaluation.scorers import score
from limbeck.evaluation.slices import slices
from limbeck.evaluation.values import Values, metrics_of
from limbeck.tasks.bootstrap import Interval

__all__ = [
    "GLUE_TASKS",
    "Columns",
    "Comparison",
    "Examples",
    "GlueTask",
    "Interval",
    "Limits",
    "Scored",
    "Values",
    "Verdict",
    "compare",
    "glue_files",
    "judge",
    "metrics_of",
    "problem_of",
    "read_examples",
    "read_glue",
    "score",
    "slices",
]

"""The nine tasks of GLUE (Wang et al. 2019), as files in a directory.

A task's development set is looked for under the usual names: DIR/SST-2/dev.tsv, as the GLUE site
packs it, or DIR/sst2/validation.jsonl (also .json, .csv, .parquet, with or without .gz), as the
hub's columns have it. The site's files are tab-separated, quotes mean nothing in them, and CoLA's
has no header line.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.data.readers.read import open_text
from limbeck.errors import InputError
from limbeck.evaluation.examples import Columns, Examples, Problem, read_examples


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    """One task: where its files lie, what its columns are called, what it is scored by.

    score: the metrics whose mean is the task's score (Wang et al. 2019, table 1). bare: all columns
    of the site's file, where that has no header line.
    """

    name: str
    folders: tuple[str, ...]
    problem: Problem
    columns: tuple[tuple[str, str | None, str], ...]
    score: tuple[str, ...]
    split: tuple[str, ...] = ("validation", "dev")
    bare: tuple[str, ...] | None = None


_PAIR = ("sentence1", "sentence2", "label")
_OURS = ("text", "text_pair", "label")

GLUE_TASKS: tuple[GlueTask, ...] = (
    GlueTask(
        name="CoLA",
        folders=("CoLA", "cola"),
        problem="single_label",
        columns=(("sentence", None, "label"), ("text", None, "label")),
        score=("MCC",),
        bare=("source", "label", "annotation", "sentence"),
    ),
    GlueTask(
        name="SST-2",
        folders=("SST-2", "sst2"),
        problem="single_label",
        columns=(("sentence", None, "label"), ("text", None, "label")),
        score=("accuracy",),
    ),
    GlueTask(
        name="MRPC",
        folders=("MRPC", "mrpc"),
        problem="single_label",
        columns=(_PAIR, ("#1 String", "#2 String", "Quality"), _OURS),
        score=("F1", "accuracy"),
    ),
    GlueTask(
        name="STS-B",
        folders=("STS-B", "stsb"),
        problem="regression",
        columns=(_PAIR, ("sentence1", "sentence2", "score"), _OURS),
        score=("Pearson", "Spearman"),
    ),
    GlueTask(
        name="QQP",
        folders=("QQP", "qqp"),
        problem="single_label",
        columns=(
            ("question1", "question2", "label"),
            ("question1", "question2", "is_duplicate"),
            _OURS,
        ),
        score=("F1", "accuracy"),
    ),
    GlueTask(
        name="MNLI",
        folders=("MNLI", "mnli"),
        problem="single_label",
        columns=(
            ("premise", "hypothesis", "label"),
            ("sentence1", "sentence2", "gold_label"),
            _OURS,
        ),
        score=("accuracy",),
        split=("validation_matched", "dev_matched", "validation", "dev"),
    ),
    GlueTask(
        name="QNLI",
        folders=("QNLI", "qnli"),
        problem="single_label",
        columns=(("question", "sentence", "label"), _OURS),
        score=("accuracy",),
    ),
    GlueTask(
        name="RTE",
        folders=("RTE", "rte"),
        problem="single_label",
        columns=(_PAIR, _OURS),
        score=("accuracy",),
    ),
    GlueTask(
        name="WNLI",
        folders=("WNLI", "wnli"),
        problem="single_label",
        columns=(_PAIR, _OURS),
        score=("accuracy",),
    ),
)
_ENDINGS = (".jsonl", ".json", ".tsv", ".csv", ".parquet")


def glue_files(directory: str | Path) -> Mapping[str, Path]:
    """The development sets that are there, by the tasks' names.

    Raises:
        InputError: no such directory, or none of the tasks is in it.
    """
    root = Path(directory)
    if not root.is_dir():
        raise InputError(f"{root} is no directory")
    found = {}
    for task in GLUE_TASKS:
        candidates = (
            root / folder / f"{split}{ending}{packed}"
            for folder in task.folders
            for split in task.split
            for ending in _ENDINGS
            for packed in ("", ".gz")
        )
        path = next((one for one in candidates if one.is_file()), None)
        if path is not None:
            found[task.name] = path
    if not found:
        raise InputError(
            f"{root} has no development set of a GLUE task; one lies for example at "
            f"{root / 'SST-2' / 'dev.tsv'} or {root / 'sst2' / 'validation.jsonl'}"
        )
    return found


def read_glue(task: GlueTask, path: Path) -> Examples:
    """The labelled rows of a task's development set, under whichever names its columns have.

    Raises:
        InputError: the columns have none of the usual names, or rows are bad.
    """
    header = task.bare if _is_bare(task, path) else None
    problems = []
    for text, pair, label in task.columns:
        columns = Columns(text=text, pair=pair, label=label, header=header)
        try:
            read_examples(path, task.problem, columns, report=_ignore, at_most=1)
        except InputError as error:
            problems.append(str(error))
            continue
        return read_examples(path, task.problem, columns)
    known = " or ".join(str([one for one in some if one]) for some in task.columns)
    raise InputError(f"{problems[0]}; {task.name} is read from the columns {known}")


def _is_bare(task: GlueTask, path: Path) -> bool:
    """Whether the first line is a row: it has a class where the site's file has it."""
    if task.bare is None or not path.name.lower().removesuffix(".gz").endswith(".tsv"):
        return False
    try:
        with open_text(path) as file:
            fields = file.readline().rstrip("\r\n").split("\t")
    except (EOFError, OSError, zlib.error):
        return False  # the reader will say what is wrong with it
    return len(fields) == len(task.bare) and fields[task.bare.index("label")] in ("0", "1")


def _ignore(message: str) -> None:
    """Bad rows do not matter while columns are looked for."""

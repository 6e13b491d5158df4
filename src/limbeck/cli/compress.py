"""limbeck compress: a recipe, or a model and labelled rows -> a small verified artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|MODEL",
            help="A recipe (a .toml file), or a model, trained or not: a directory or hub name.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="With MODEL: CSV, JSONL or Parquet with labelled rows."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Directory of the run; default: the recipe's, or ./compressed.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="With MODEL; default: text-classification.")
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            help="With MODEL: single_label; multi_label: labels in a list, or a|b; regression."
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(help="With MODEL: rows to measure on; without it a tenth is held out."),
    ] = None,
    transfer: Annotated[
        Path | None,
        typer.Option(help="With MODEL: more texts, labels not needed, to learn from the teacher."),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            help="With MODEL: column with the text; default: usual names. CoNLL: its number, 1 is "
            "the first."
        ),
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="With MODEL: column with a second text.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="With MODEL: column with what is right. CoNLL: its number; else the last, of "
            ".conllu UPOS."
        ),
    ] = None,
    label_range: Annotated[
        str | None,
        typer.Option(help="With MODEL: lowest and highest similarity in the rows, such as 0,5."),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Name bad rows and leave them out, and go on.")
    ] = False,
    layers: Annotated[
        int | None, typer.Option("--layers", "-l", help="With MODEL: the student's; default: half.")
    ] = None,
    train: Annotated[
        bool | None,
        typer.Option(
            "--train/--as-it-is",
            help="With MODEL: fine-tune it first, or not; default: if it has no trained head.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Run with so many seeds, and tell mean and spread.", min=1),
    ] = None,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Make and measure a family: dense, and pruned in each pattern and sparsity of "
            "the recipe's section [curve].",
        ),
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(help="With --curve: append a row for each artifact to this file."),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            help="With --curve: train so many of its lines at once, in processes of their own.",
            min=1,
        ),
    ] = 1,
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32 or bf16, in place of the recipe's.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="In place of the recipe's; kept by the run.", min=1)
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Leave with 3 if more points are lost; in place of the recipe's gate."),
    ] = None,
    max_slice_drop: Annotated[
        float | None,
        typer.Option(
            help="The same for every slice by class and length that has 10 rows; others are named."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="The end of the interval decides, not the estimate.")
    ] = False,
    print_recipe: Annotated[
        bool, typer.Option("--print-recipe", help="Write the recipe as TOML, and run nothing.")
    ] = False,
) -> None:
    """Make a small, verified artifact: teacher, student, int8, each measured.

    Stages that are done are not run again: a run that was stopped, killed or changed goes on where
    it has to, and ends in the same artifact. Models are measured on held-out rows through the
    engine; where the gate refuses the artifact, it is kept as artifact.failed and the exit code
    is 3. --curve makes many artifacts of one recipe and tells which to ship at which loss: a table,
    curve.html and curve.json in the run's directory; the exit code is 3 where the gate refuses all.

    Example: limbeck compress ./MiniLM --data reviews.csv --out ./reviews --max-drop 1.0

    Example: limbeck compress ./MiniLM --data reviews.csv --print-recipe > recipe.toml

    Example: limbeck compress recipe.toml

    Example: limbeck compress recipe.toml --curve --jobs 2 --max-drop 2.0

    Example: torchrun --nproc-per-node 2 -m limbeck compress recipe.toml
    """
    from limbeck import forge

    forge.require("torch", "transformers", "pyarrow", "jinja2")
    from limbeck.cli.compressing import Request, compress

    compress(
        Request(
            source=source,
            data=data,
            out=out,
            task=task,
            problem=problem,
            validation=validation,
            transfer=transfer,
            text_column=text_column,
            pair_column=pair_column,
            label_column=label_column,
            label_range=label_range,
            lenient=lenient,
            layers=layers,
            train=train,
            seed=seed,
            seeds=seeds,
            curve=curve,
            record=record,
            jobs=jobs,
            precision=precision,
            threads=threads,
            max_drop=max_drop,
            max_slice_drop=max_slice_drop,
            strict=strict,
            print_recipe=print_recipe,
        )
    )

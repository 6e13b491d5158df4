"""Options that the commands which train models share: train, distil, prune, qat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataFile = Annotated[
    Path,
    typer.Option(
        "--data",
        "-d",
        help="CSV, JSONL or Parquet with texts and labels; CoNLL for tags; SQuAD's JSON.",
    ),
]
TransferFile = Annotated[
    Path | None,
    typer.Option(help="More texts, labels not needed, on which the teacher is asked."),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        help="Column with the text; default: text, tokens, question, by the task. CoNLL: its "
        "number, 1 is the first."
    ),
]
PairColumn = Annotated[
    str | None,
    typer.Option(
        help="Column with a second text, for tasks on pairs; default: context, text_pair."
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        help="Column with what is right; default: label, tags, answers. CoNLL: its number; else "
        "the last, of .conllu UPOS."
    ),
]
LabelRange = Annotated[
    str | None, typer.Option(help="Lowest and highest similarity of the file, such as 0,5.")
]
ValidationFile = Annotated[
    Path | None,
    typer.Option(help="Labelled file to measure on; without it a tenth of --data is held out."),
]
Temperature = Annotated[float, typer.Option(help="Temperature of the soft targets.")]
SoftWeight = Annotated[
    float, typer.Option(help="Share of the soft targets in the loss; the labels have the rest.")
]
SoftLossName = Annotated[
    str,
    typer.Option(help="kl: divergence at --temperature; mse: squared difference of logits."),
]
HiddenWeight = Annotated[
    float, typer.Option(help="Add the squared difference of hidden states (TinyBERT).")
]
CosineWeight = Annotated[float, typer.Option(help="Add 1 - cosine of hidden states (DistilBERT).")]
RelationWeight = Annotated[
    float, typer.Option(help="Add attention relations of the last layers (MiniLM v2).")
]
Epochs = Annotated[float, typer.Option(help="Passes over the data.")]
BatchSize = Annotated[int, typer.Option(help="Texts in a training step.")]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate of AdamW.")]
Balance = Annotated[
    bool, typer.Option("--balance", help="Rare classes count for more: all weigh the same.")
]
Lenient = Annotated[
    bool, typer.Option("--lenient", help="Name bad rows and leave them out, and go on.")
]
Seed = Annotated[int, typer.Option(help="Seed for batches and dropout.")]
PrecisionName = Annotated[
    str, typer.Option(help="auto, fp32 or bf16; auto takes bf16 where a probe finds it faster.")
]
LogitsCache = Annotated[
    Path, typer.Option(help="Directory for the teacher's logits, kept between runs.")
]

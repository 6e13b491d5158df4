"""Which tensors each task takes and gives in the Open Inference Protocol.

B rows, L labels, S tokens of the longest text, C numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from limbeck.serve.json_body import dump
from limbeck.serve.protocols.oip_tensors import Described, Tensor
from limbeck.serve.refused import RefusedError
from limbeck.spec import ModelSpec, Task

_ONE_TEXT = ("text",)
# Names of inputs: those that must be there, and those that may.
_INPUTS: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text-classification": (_ONE_TEXT, ("text_pair",)),
    "token-classification": (_ONE_TEXT, ()),
    "question-answering": (("question", "context"), ()),
    "feature-extraction": (_ONE_TEXT, ()),
    "sentence-embedding": (_ONE_TEXT, ()),
}
# Options that would change which tensors there are.
_FIXED: dict[Task, tuple[str, ...]] = {
    "text-classification": ("top_k", "decide", "return_window"),
    "token-classification": (),
    "question-answering": ("top_k",),
    "feature-extraction": ("return_tensors",),
    "sentence-embedding": (),
}


def input_names(task: Task) -> tuple[str, ...]:
    """Names of all inputs that a task can take."""
    required, optional = _INPUTS[task]
    return required + optional


def described_inputs(task: Task) -> list[Described]:
    """The inputs that must be there: clients take each one listed for required."""
    return [Described(name=name, datatype="BYTES", shape=(-1,)) for name in _INPUTS[task][0]]


def described_outputs(spec: ModelSpec) -> list[Described]:
    """What a model of this kind gives; all of it where a request names nothing."""
    task = spec.task
    if task.task == "text-classification":
        outputs = [
            Described(name="scores", datatype="FP32", shape=(-1, len(task.labels))),
            Described(name="label", datatype="BYTES", shape=(-1,)),
        ]
        if task.threshold is not None:
            outputs.append(Described(name="decision", datatype="BOOL", shape=(-1,)))
        return outputs
    if task.task == "token-classification":
        return [Described(name="entities", datatype="BYTES", shape=(-1,))]
    if task.task == "question-answering":
        return [
            Described(name="answer", datatype="BYTES", shape=(-1,)),
            Described(name="score", datatype="FP32", shape=(-1,)),
            Described(name="start", datatype="INT64", shape=(-1,)),
            Described(name="end", datatype="INT64", shape=(-1,)),
        ]
    if task.task == "feature-extraction":
        return [
            Described(name="last_hidden_state", datatype="FP32", shape=(-1, -1, _hidden(spec))),
            Described(name="attention_mask", datatype="INT64", shape=(-1, -1)),
        ]
    width = _hidden(spec) * len(task.pooling)
    return [Described(name="embedding", datatype="FP32", shape=(-1, width))]


def _hidden(spec: ModelSpec) -> int:
    return spec.encoder.hidden


def rows_of(task: Task, texts: Mapping[str, list[str]]) -> list[Any]:
    """Inputs as the pipeline takes them, one by one.

    Raises:
        RefusedError: bad_request: one is missing.
    """
    for name in _INPUTS[task][0]:
        if name not in texts:
            raise RefusedError("bad_request", f"the input {name!r} is missing; {task} needs it")
    if list(texts) == ["text"]:
        return texts["text"]
    return [dict(zip(texts, row)) for row in zip(*texts.values())]


def options_of(task: Task, asked: Mapping[str, Any], outputs: Collection[str]) -> dict[str, Any]:
    """Options of the pipeline under which its answers hold the outputs.

    Raises:
        RefusedError: bad_request: an option that would change which outputs there are.
    """
    for name in _FIXED[task]:
        if name in asked:
            raise RefusedError(
                "bad_request",
                f"the parameter {name!r} is of no use here, for the outputs are what they are; "
                f"name those that you want in 'outputs'",
            )
    options = dict(asked)
    if task == "text-classification":
        options["top_k"] = None
        if "decision" in outputs:
            options["decide"] = True
    elif task == "question-answering":
        options["top_k"] = 1
    elif task == "feature-extraction":
        options["return_tensors"] = True
    return options


def tensors_of(
    rows: list[Any], spec: ModelSpec, wanted: Collection[str], *, most_tokens: int
) -> list[Tensor]:
    """The answers of a pipeline as tensors, those that are wanted.

    Args:
        rows: as `options_of` has them.
        most_tokens: to which hidden states of all rows may be padded.

    Raises:
        RefusedError: too_large: beyond `most_tokens`; unprocessable: labels that no position can
            stand for.
    """
    task = spec.task.task
    if task == "text-classification":
        tensors = _classified(rows, spec.task.labels, wanted)
    elif task == "token-classification":
        texts = [dump(row).decode() for row in rows]
        tensors = [Tensor.of_texts("entities", texts)]
    elif task == "question-answering":
        tensors = _answered(rows)
    elif task == "feature-extraction":
        tensors = _padded(rows, most_tokens)
    else:
        tensors = [Tensor.of_numbers("embedding", "FP32", np.stack(rows))]
    return [tensor for tensor in tensors if tensor.name in wanted]


def _classified(rows: list[Any], labels: tuple[str, ...], wanted: Collection[str]) -> list[Tensor]:
    """rows: of each text all labels, best first."""
    place = {label: index for index, label in enumerate(labels)}
    if len(place) != len(labels):
        raise RefusedError(
            "unprocessable", "several labels of this model have one name; its scores have no order"
        )
    scores = np.empty((len(rows), len(labels)), dtype=np.float32)
    for index, row in enumerate(rows):
        for one in row:
            scores[index, place[one["label"]]] = one["score"]
    tensors = [
        Tensor.of_numbers("scores", "FP32", scores),
        Tensor.of_texts("label", [row[0]["label"] for row in rows]),
    ]
    if "decision" in wanted:
        tensors.append(Tensor.of_numbers("decision", "BOOL", [row[0]["decision"] for row in rows]))
    return tensors


def _answered(rows: list[Any]) -> list[Tensor]:
    # A context of blanks has no answer at all.
    found = [row or {"answer": "", "score": 0.0, "start": 0, "end": 0} for row in rows]
    return [
        Tensor.of_texts("answer", [row["answer"] for row in found]),
        Tensor.of_numbers("score", "FP32", [row["score"] for row in found]),
        Tensor.of_numbers("start", "INT64", [row["start"] for row in found]),
        Tensor.of_numbers("end", "INT64", [row["end"] for row in found]),
    ]


def _padded(rows: list[Any], most_tokens: int) -> list[Tensor]:
    """Hidden states [1, S, C] of each text -> [B, S, C], zeros behind the shorter ones."""
    longest = max(row.shape[1] for row in rows)
    if len(rows) * longest > most_tokens:
        raise RefusedError(
            "too_large",
            f"padded to the longest text, {len(rows)} rows have {len(rows) * longest} tokens, and "
            f"at most {most_tokens} are sent; send fewer texts, or those of like length together",
        )
    states = np.zeros((len(rows), longest, rows[0].shape[2]), dtype=np.float32)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        states[index, : row.shape[1]] = row[0]
        mask[index, : row.shape[1]] = 1
    return [
        Tensor.of_numbers("last_hidden_state", "FP32", states),
        Tensor.of_numbers("attention_mask", "INT64", mask),
    ]

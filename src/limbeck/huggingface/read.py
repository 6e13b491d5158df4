"""A model directory -> ModelSpec and weights."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import ModelError
from limbeck.huggingface.checkpoint import Checkpoint, open_checkpoint
from limbeck.huggingface.configuration import (
    ARCHITECTURE_CLASSES,
    encoder_spec,
    head_spec,
    labels,
    problem,
    read_config,
    resolve_task,
)
from limbeck.huggingface.names import source_names
from limbeck.huggingface.sentence import SentenceModules, read_modules
from limbeck.spec import EncoderSpec, ModelSpec, QuantSpec, Task, TaskSpec
from limbeck.tensors import Tensor, expected_tensors, require_finite

_ANCHOR = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, kw_only=True, eq=False)
class HuggingFaceModel:
    """A model as its directory describes it.

    spec: precision fp32. `spec.task.max_tokens` is what the position table carries; the tokenizer's
    own limits (`limbeck.text.resolve_max_tokens`) are for the caller to apply.
    weights: dense float32, by limbeck's names.
    directory: where config.json, the weights and the tokenizer lie (for sentence-transformers the
    transformer module's folder).
    """

    spec: ModelSpec
    weights: dict[str, Tensor]
    directory: Path
    config: dict[str, Any]


def read(directory: str | os.PathLike[str], task: str | None = None) -> HuggingFaceModel:
    """Read a Hugging Face or sentence-transformers directory.

    Args:
        directory: a local directory, see `resolve`.
        task: one of limbeck.spec.TASKS, or None for the one that the model was made for. A plain
            encoder asked for "sentence-embedding" gets mean pooling without normalising, which is
            what sentence-transformers does with it.

    Raises:
        ModelError: no model, an unsupported architecture or variant, no safetensors, missing or
            misshapen or non-finite weights, labels that do not match the classifier.
    """
    root = Path(directory)
    if not root.is_dir():
        raise ModelError(f"no directory {root}")
    modules = read_modules(root)
    folder = root if modules is None else modules.encoder
    config = read_config(folder)
    encoder = encoder_spec(config)
    chosen = resolve_task(config, task, sentence=modules is not None)
    task_spec = _task_spec(config, encoder, chosen, modules)
    spec = ModelSpec(encoder=encoder, task=task_spec, quant=QuantSpec(precision="fp32"))
    classes = config.get("architectures") or [f"{ARCHITECTURE_CLASSES[encoder.architecture]}Model"]
    with open_checkpoint(folder, str(classes[0])) as checkpoint:
        weights = _read_weights(checkpoint, spec)
    require_finite(weights)
    return HuggingFaceModel(spec=spec, weights=weights, directory=folder, config=config)


def _task_spec(
    config: dict[str, Any], encoder: EncoderSpec, task: Task, modules: SentenceModules | None
) -> TaskSpec:
    head = head_spec(encoder.architecture, task)
    if task == "sentence-embedding":
        return TaskSpec(
            task=task,
            max_tokens=encoder.max_tokens,
            pooling=("mean",) if modules is None else modules.pooling,
            normalize=modules is not None and modules.normalize,
        )
    return TaskSpec(
        task=task,
        max_tokens=encoder.max_tokens,
        labels=() if head is None else labels(config, task),
        problem=problem(config) if task == "text-classification" else None,
        head=head,
    )


def _read_weights(checkpoint: Checkpoint, spec: ModelSpec) -> dict[str, Tensor]:
    encoder, head = spec.encoder, spec.task.head
    names = checkpoint.names()
    prefix = _prefix(names)
    weights: dict[str, Tensor] = {}
    for name, shape, row in expected_tensors(encoder, head, len(spec.task.labels)):
        sources = source_names(name, encoder.architecture, spec.task.task, prefix)
        source = next((candidate for candidate in sources if candidate in names), None)
        if source is None:
            raise ModelError(
                f"the checkpoint has no tensor {sources[0]} (limbeck's {name}); "
                "it is incomplete, or was saved by a class that config.json does not name"
            )
        values = checkpoint.tensor(source)
        if values.shape != shape:
            if row.when == "head" and values.shape[0] != shape[0]:
                raise ModelError(
                    f"the classifier has {values.shape[0]} rows ({source}) and config.json names "
                    f"{shape[0]} labels {list(spec.task.labels)[:8]}; make id2label match"
                )
            raise ModelError(
                f"tensor {source} has shape {list(values.shape)}; config.json asks for "
                f"{list(shape)}"
            )
        weights[name] = Tensor(shape=shape, values=values)
    return weights


def _prefix(names: Iterable[str]) -> str:
    """What stands before the encoder's tensor names: "bert.", "roberta.", "", ..."""
    found = sorted(name.removesuffix(_ANCHOR) for name in names if name.endswith(_ANCHOR))
    if len(found) != 1:
        raise ModelError(
            f"the checkpoint holds {len(found)} word embedding tables (…{_ANCHOR}); "
            "a supported encoder has one"
        )
    return found[0]

"""A model directory of either kind, opened: spec, weights, tokenizer.

The one place that knows how artifacts and Hugging Face directories differ.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck import artifact, huggingface
from limbeck.errors import ModelError
from limbeck.spec import TASKS, ModelSpec, TaskSpec
from limbeck.tensors import TENSOR_TABLE, Tensor, Weights
from limbeck.text import Tokenizer, read_tokenizer_json, resolve_max_tokens

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A model as stored.

    weights: an artifact's are views of the mapped file. `tokenizer_json` and `digest` read files
    when they are called. `release` gives mapped pages back once the weights have been packed.
    """

    spec: ModelSpec
    weights: Weights
    directory: Path
    tokenizer_json: Callable[[], bytes]
    digest: Callable[[], str]
    release: Callable[[], None]

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_bytes(self.tokenizer_json())


def open_source(name_or_path: str | os.PathLike[str], task: str | None = None) -> Source:
    """Open an artifact, a Hugging Face or sentence-transformers directory, or a hub name.

    Block-sparse layers of a Hugging Face directory are recognised and encoded as such.

    Args:
        task: one of limbeck.spec.TASKS; None for the one that the model was made for.

    Raises:
        InputError: the argument is no path and no name.
        ArtifactError: a damaged artifact.
        ModelError: no model, or one that is not supported, or not for this task.
        MissingExtraError: a hub name, and huggingface_hub is not installed.
    """
    directory = huggingface.resolve(name_or_path)
    if artifact.is_artifact(directory):
        return _open_artifact(directory, task)
    return _open_huggingface(directory, task)


def _open_artifact(directory: Path, task: str | None) -> Source:
    opened = artifact.read(directory)
    spec = opened.spec
    if task is not None and task != spec.task.task:
        spec = replace(spec, task=_other_task(spec.task, task))
    return Source(
        spec=spec,
        weights=opened.weights,
        directory=directory,
        tokenizer_json=opened.tokenizer_bytes,
        digest=lambda: opened.digest,
        release=opened.release,
    )


def _other_task(own: TaskSpec, task: str) -> TaskSpec:
    """An artifact's encoder can serve other tasks than its own, as long as they need no head."""
    if task not in TASKS:
        raise ModelError(f"task {task!r} is not supported; supported: {', '.join(TASKS)}")
    if task == "feature-extraction":
        return TaskSpec(task="feature-extraction", max_tokens=own.max_tokens)
    if task == "sentence-embedding":
        return TaskSpec(task="sentence-embedding", max_tokens=own.max_tokens, pooling=("mean",))
    raise ModelError(f"this artifact is made for {own.task}; it has no head for {task}")


def _open_huggingface(directory: Path, task: str | None) -> Source:
    model = huggingface.read(directory, task)
    folder = model.directory
    max_tokens = resolve_max_tokens(folder, model.spec.encoder.max_tokens)
    return Source(
        spec=replace(model.spec, task=replace(model.spec.task, max_tokens=max_tokens)),
        weights={name: _recognise_blocks(name, t) for name, t in model.weights.items()},
        directory=directory,
        tokenizer_json=lambda: read_tokenizer_json(folder),
        digest=lambda: _digest(folder),
        release=lambda: None,
    )


_LINEAR = tuple(row.name.rpartition("}")[2] for row in TENSOR_TABLE if row.kind == "linear")


def _recognise_blocks(name: str, tensor: Tensor) -> Tensor:
    if not name.startswith("layers.") or not name.endswith(_LINEAR):
        return tensor
    block = artifact.find_block_pattern(tensor.values)
    return tensor if block is None else artifact.encode_blocks(tensor, block)


def _digest(folder: Path) -> str:
    """SHA-256 over configuration, weights and tokenizer of a Hugging Face directory."""
    total = hashlib.sha256()
    files = [*folder.glob("*.json"), *folder.glob("*.safetensors"), *folder.glob("vocab.txt")]
    for path in sorted(files):
        total.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                total.update(chunk)
    return total.hexdigest()

"""A copy of a Hugging Face directory with some tensors replaced, by limbeck's names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from limbeck import huggingface
from limbeck.errors import ModelError
from limbeck.huggingface.names import source_names
from limbeck.tensors import Tensor

_ANCHOR = "embeddings.word_embeddings.weight"


def rewritten(source: Path, target: Path, changed: Mapping[str, Tensor], task: str | None) -> Path:
    """Copy a model directory; tensors of these names have other values, in float32.

    Raises:
        ModelError: the directory is no model, or lacks one of the tensors.
    """
    read = huggingface.read(source, task)
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(read.directory.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    anchor = next(name for name in tensors if name.endswith(_ANCHOR))
    encoder, prefix = read.spec.encoder, anchor.removesuffix(_ANCHOR)
    for name, tensor in changed.items():
        known = source_names(name, encoder.architecture, read.spec.task.task, prefix)
        place = next((one for one in known if one in tensors), None)
        if place is None:
            raise ModelError(f"{source} has no tensor {known[0]} (limbeck's {name})")
        tensors[place] = torch.from_numpy(tensor.dense().copy())
    ignored = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", "*.bin", ".git")
    shutil.copytree(source, target, ignore=ignored)
    folder = target / read.directory.relative_to(source)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return target

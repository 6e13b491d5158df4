"""The files of the model that every server loads: same weights, each in its own format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from limbeck.bench import models, onnx_export
from limbeck.bench.startup import int8_artifact
from limbeck.errors import InputError
from limbeck.whole_files import whole_file

# "hf": float32, for torch and as the measure of answers. "onnx": fused, dynamic int8.
# "artifact": limbeck's int8. "4x4": 80 % of the encoder's 4x4 blocks gone.
Source = Literal["hf", "hf-4x4", "onnx", "artifact", "artifact-4x4"]
PATTERN = models.Blocks(rows=4, cols=4)
LABELS = 2
# Servers name a model after its directory.
MODEL_NAME = "texts"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where each format lies, and the tokenizer, without truncation or padding of its own."""

    shape: models.Shape
    tokenizer: Path
    paths: Mapping[Source, Path]


def _tokenizer_json(tokenizer: Path, vocab: int) -> str:
    """A tokenizer without truncation and padding: servers set both themselves.

    Raises:
        InputError: no such file, no tokenizer, or more entries than the model has rows.
    """
    try:
        settings = json.loads(tokenizer.read_text(encoding="utf-8"))
        entries = len(settings["model"]["vocab"])
    except OSError as error:
        raise InputError(f"cannot read {tokenizer}: {error}") from None
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{tokenizer} is not a tokenizer.json with a vocabulary") from None
    if entries > vocab:
        raise InputError(f"{tokenizer} has {entries} entries; the test model has {vocab} rows")
    return json.dumps({**settings, "truncation": None, "padding": None})


def _hf(directory: Path, shape: models.Shape, tokenizer_json: str) -> Path:
    models.write_model(directory, shape)
    target = directory / "tokenizer.json"
    if target.read_text(encoding="utf-8") != tokenizer_json:
        with whole_file(target, "w") as file:
            file.write(tokenizer_json)
    return directory


def write(cache: Path, shape: models.Shape, tokenizer: Path) -> Files:
    """Make the files, or find them made.

    Raises:
        InputError: the tokenizer cannot be used.
        MissingExtraError: torch, transformers, onnx or onnxruntime is not installed.
    """
    shape = replace(shape, labels=LABELS, blocks=None)
    text = _tokenizer_json(tokenizer, shape.vocab)
    place = cache / shape.name
    dense = _hf(place / "dense" / "hf", shape, text)
    sparse = _hf(place / "4x4" / "hf", replace(shape, blocks=PATTERN), text)
    return Files(
        shape=shape,
        tokenizer=dense / "tokenizer.json",
        paths={
            "hf": dense,
            "hf-4x4": sparse,
            "onnx": onnx_export.export(dense, place / "dense" / "onnx").int8,
            "artifact": int8_artifact(dense, place / "dense" / MODEL_NAME, by=__name__),
            "artifact-4x4": int8_artifact(sparse, place / "4x4" / MODEL_NAME, by=__name__),
        },
    )

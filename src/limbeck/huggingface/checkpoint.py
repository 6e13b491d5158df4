"""safetensors files, one or many -> float32 arrays by name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from limbeck.errors import ModelError
from limbeck.huggingface.configuration import read_json

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_LFS = b"version https://git-lfs"
_FLOATS = ("F32", "F16", "BF16", "F64")


class Checkpoint:
    """The open weight files of one model."""

    def __init__(self, files: dict[Path, Any], places: dict[str, Path]) -> None:
        self._files = files
        self._places = places

    def names(self) -> frozenset[str]:
        return frozenset(self._places)

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32 (float16, bfloat16 and float64 are converted).

        Raises:
            ModelError: the number format is none of these, or the file is damaged.
        """
        path = self._places[name]
        try:
            dtype = self._files[path].get_slice(name).get_dtype()
            if dtype not in _FLOATS:
                raise ModelError(
                    f"{path.name}: tensor {name} is {dtype}; supported: {', '.join(_FLOATS)}"
                )
            if dtype == "BF16":  # numpy has no such type
                return _read_bfloat16(path, name)
            return np.ascontiguousarray(self._files[path].get_tensor(name), dtype=np.float32)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: cannot read tensor {name}: {error}") from error


def _read_bfloat16(path: Path, name: str) -> npt.NDArray[np.float32]:
    """bfloat16 is the upper half of a float32. `safe_open` has checked the header before."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(header_bytes))[name]
        start, end = entry["data_offsets"]
        file.seek(8 + header_bytes + start)
        half = np.frombuffer(file.read(end - start), dtype="<u2")
    return (half.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


@contextmanager
def open_checkpoint(directory: Path, class_name: str) -> Iterator[Checkpoint]:
    """Open model.safetensors, or the shards that its index names.

    Args:
        class_name: transformers' class, for the converting command where there are only pickles.

    Raises:
        ModelError: no safetensors file, a damaged one, or an index that names files outside the
            directory or tensors that are not there.
    """
    index = _index(directory, class_name)
    paths = {directory / file for file in index.values()} if index else {directory / _SINGLE}
    with ExitStack() as stack:
        files: dict[Path, Any] = {}
        places: dict[str, Path] = {}
        for path in sorted(paths):
            try:
                files[path] = stack.enter_context(safe_open(str(path), framework="np"))
            except (SafetensorError, OSError) as error:
                raise ModelError(
                    f"{path} is not a safetensors file: {_why(path, error)}"
                ) from error
            places.update(dict.fromkeys(files[path].keys(), path))
        for name, file in (index or {}).items():
            if places.get(name) != directory / file:
                raise ModelError(f"{_INDEX} says that {file} holds {name}; it does not")
        yield Checkpoint(files, places)


def _why(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            if file.read(len(_LFS)) == _LFS:
                return "it is the pointer that git leaves without git-lfs; run: git lfs pull"
    except OSError:
        pass
    return str(error)


def _index(directory: Path, class_name: str) -> dict[str, str] | None:
    """Tensor name -> file name for a sharded checkpoint; None for a single file."""
    if (directory / _SINGLE).is_file():
        return None
    if not (directory / _INDEX).is_file():
        raise ModelError(_no_weights(directory, class_name))
    content = read_json(directory / _INDEX)
    index = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(index, dict) or not index:
        raise ModelError(f"{directory / _INDEX} has no weight_map")
    for file in index.values():
        if not isinstance(file, str) or Path(file).name != file or file in ("", ".", ".."):
            raise ModelError(f"{_INDEX} names {file!r}, which is no file of this directory")
        if not (directory / file).is_file():
            raise ModelError(f"{_INDEX} names {file}, which is missing: fetch the model again")
    return index


def _no_weights(directory: Path, class_name: str) -> str:
    found = next((name for name in _PICKLES if (directory / name).is_file()), None)
    if found is None:
        return (
            f"{directory} has no {_SINGLE}; a hub model that was published as pytorch_model.bin "
            "alone must be loaded with transformers and saved again with save_pretrained"
        )
    code = (
        f"from transformers import {class_name} as M; "
        f"M.from_pretrained({str(directory)!r}).save_pretrained({str(directory)!r})"
    )
    return (
        f"{directory} has only {found}, a pickle, which can run code when it is read; make an "
        "artifact of it, running none of it, with: "
        f"limbeck convert {shlex.quote(str(directory))} --out ARTIFACT; or, if you trust it, "
        f"convert it in place with: python -c {shlex.quote(code)}"
    )

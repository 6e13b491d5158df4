"""The rules of the format, for reader and writer alike: specs, tensor table, contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.artifact.format import KINDS, TableEntry, part_layout, part_names
from limbeck.artifact.strict_json import shown
from limbeck.errors import ArtifactError
from limbeck.spec import MAX_INT8_INPUTS, HeadKind, ModelSpec, Task
from limbeck.tensors import Tensor, TensorRow, expected_tensors, is_range

# Elements looked at in one go when contents are checked: 4 MiB of float32.
_CHECK_CHUNK = 1 << 20
_F32_MAX = float(np.finfo(np.float32).max)
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
}


_HEAD_KINDS: dict[Task, HeadKind] = {
    "text-classification": "sequence",
    "token-classification": "token",
    "question-answering": "token",
}


def check_spec(spec: ModelSpec) -> None:
    """What holds between the parts of a spec, each of which has checked itself.

    Raises:
        ArtifactError: the task cannot be answered by this encoder and head.
    """
    task, positions = spec.task, spec.encoder.max_tokens
    if task.max_tokens > positions:
        raise ArtifactError(
            f"texts are cut at {task.max_tokens} tokens, but the encoder carries {positions}"
        )
    wanted = _HEAD_KINDS.get(task.task)
    if wanted is not None and (task.head is None or task.head.kind != wanted):
        raise ArtifactError(f"{task.task} needs a head of kind {wanted!r}")
    if task.task == "sentence-embedding" and not task.pooling:
        raise ArtifactError("sentence-embedding needs at least one pooling")


def check_table(spec: ModelSpec, entries: Iterable[TableEntry]) -> None:
    """The table holds exactly the tensors that a model of this spec has, each in an allowed form.

    Raises:
        ArtifactError: naming the first tensor that is missing, twice, too much or wrong.
    """
    table: dict[str, TableEntry] = {}
    for entry in entries:
        if entry.name in table:
            raise ArtifactError(f"the tensor {shown(entry.name)} is listed twice")
        table[entry.name] = entry
    unseen = dict(table)
    # Stops at the first missing name, so a spec of sixteen million layers costs nothing.
    labels, ranges = len(spec.task.labels), spec.quant.activations
    for name, shape, row in expected_tensors(spec.encoder, spec.task.head, labels, ranges):
        if name not in unseen:
            raise ArtifactError(f"the tensor {name} is missing")
        _check_entry(spec, unseen.pop(name), shape, row)
    if unseen:
        names = ", ".join(map(shown, sorted(unseen)[:3]))
        raise ArtifactError(f"{len(unseen)} tensors are not part of this model: {names}")


def _check_entry(
    spec: ModelSpec, entry: TableEntry, shape: tuple[int, ...], row: TensorRow
) -> None:
    name, rule = entry.name, KINDS[row.kind]
    if entry.shape != shape:
        raise ArtifactError(
            f"{name} has shape {shown(list(entry.shape))}; a model of this spec has {list(shape)}"
        )
    dtypes = rule.int8 if spec.quant.precision == "int8" else rule.fp32
    if entry.dtype not in dtypes:
        raise ArtifactError(
            f"{name} is {entry.dtype}; in an {spec.quant.precision} model it must be "
            f"{' or '.join(dtypes)}"
        )
    if entry.encoding not in rule.encodings:
        raise ArtifactError(
            f"{name} is stored as {entry.encoding}; it must be {' or '.join(rule.encodings)}"
        )
    if (entry.block is not None) != (entry.encoding == "blocks"):
        raise ArtifactError(f"{name}: a block belongs to the encoding 'blocks', and only there")
    if entry.block is not None:
        check_block(name, entry.shape, entry.block)
    if row.kind == "linear" and entry.dtype == "I8" and shape[1] > MAX_INT8_INPUTS:
        raise ArtifactError(
            f"{name} has {shape[1]} inputs; int8 sums in 32 bits hold {MAX_INT8_INPUTS} at most"
        )
    if entry.parts != part_names(name, entry.encoding, entry.dtype):
        raise ArtifactError(
            f"{name} names its parts wrongly; they must be "
            f"{part_names(name, entry.encoding, entry.dtype)}"
        )


def check_block(name: str, shape: tuple[int, ...], block: tuple[int, int]) -> None:
    """Raise ArtifactError unless blocks of this size tile the shape."""
    rows, cols = block
    if rows < 1 or cols < 1 or shape[0] % rows or shape[1] % cols:
        raise ArtifactError(f"{name} of shape {list(shape)} does not divide into {rows}x{cols}")


def check_parts(
    entry: TableEntry, found: Mapping[str, tuple[str, tuple[int, ...]]]
) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """`found` maps role -> (dtype, shape); returns it when it is what the entry announces.

    Raises:
        ArtifactError: a part is missing or has another dtype or shape.
    """
    kept = 0
    if entry.encoding == "blocks" and "values" in found:
        kept = next(iter(found["values"][1]), 0)
        if kept > entry.blocks:
            raise ArtifactError(f"{entry.name} keeps {kept} blocks of {entry.blocks}")
    for role, wanted in part_layout(entry, kept).items():
        if role not in found:
            raise ArtifactError(f"{entry.name} lacks its part {entry.parts[role]}")
        if found[role] != wanted:
            dtype, shape = found[role]
            raise ArtifactError(
                f"{entry.parts[role]} is {dtype} {list(shape)}; "
                f"it must be {wanted[0]} {list(wanted[1])}"
            )
    return found


def check_tensor(entry: TableEntry, tensor: Tensor) -> None:
    """Contents that the engine relies on: scales, ranges and bitmap. Cheap: reads no values.

    Raises:
        ArtifactError: a scale that is not finite and positive, ends that make no range, or a
            bitmap that does not count as many blocks as there are.
    """
    if is_range(entry.name):
        low, high = tensor.dense().tolist()
        # written so that NaN is refused; beyond 1e37 the spread could overflow
        if not (-1e37 <= low <= 0 <= high <= 1e37 and high > low):
            raise ArtifactError(
                f"{entry.name} holds {low:g} and {high:g}; a range must have a low end up to 0 "
                "and a high end from 0 on, apart"
            )
    if tensor.scale is not None:
        scale = tensor.scale
        # Below FLT_MAX / 127, so that no weight overflows. NaN fails both comparisons.
        good = (scale > 0) & (scale <= _F32_MAX / 127)
        if not good.all():
            row = int(np.argmin(good))
            raise ArtifactError(
                f"{entry.parts['scale']} holds {scale[row]} in row {row}; "
                "a scale must be positive and finite"
            )
    if tensor.bitmap is not None:
        bits = np.unpackbits(tensor.bitmap, bitorder="little")
        kept = int(np.count_nonzero(bits[: entry.blocks]))
        if kept != tensor.values.shape[0]:
            raise ArtifactError(
                f"{entry.parts['bitmap']} marks {kept} blocks; "
                f"{entry.parts['values']} has {tensor.values.shape[0]}"
            )
        if bits[entry.blocks :].any():
            raise ArtifactError(f"{entry.parts['bitmap']} marks blocks behind the last one")


def check_values(entry: TableEntry, tensor: Tensor) -> None:
    """Contents that decide the answers: reads every value.

    Raises:
        ArtifactError: a weight that is NaN or infinite, or an int8 value of -128, which symmetric
            rows do not use and the bound on int8 sums does not allow for.
    """
    for first, chunk in _chunks(tensor.values):
        if chunk.dtype == np.int8:
            if chunk.min() < -127:
                raise ArtifactError(
                    f"{entry.parts['values']} holds -128; int8 rows use -127 .. 127"
                )
        elif not np.isfinite(chunk).all():
            index = first + int(np.argmin(np.isfinite(chunk)))
            raise ArtifactError(
                f"{entry.parts['values']} holds {chunk[index - first]} at element {index}; "
                "weights must be finite"
            )


def _chunks(
    values: npt.NDArray[np.float32] | npt.NDArray[np.int8],
) -> Iterator[tuple[int, npt.NDArray[np.float32] | npt.NDArray[np.int8]]]:
    flat = values.reshape(-1)
    for first in range(0, flat.size, _CHECK_CHUNK):
        yield first, flat[first : first + _CHECK_CHUNK]


def dtype_name(dtype: np.dtype[Any]) -> str | None:
    """F32, I8 or U8; None for what the format cannot hold."""
    return next((name for name, known in _DTYPES.items() if known == dtype), None)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The little-endian dtype of F32, I8 or U8."""
    return _DTYPES[name].newbyteorder("<")

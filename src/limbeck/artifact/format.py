"""Format 1 as tables: files, limits, the document limbeck.json, and how a tensor becomes parts.

docs/format.md prints these tables; reader and writer obey them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from limbeck.spec import ModelSpec

FORMAT_VERSION = 1

DOCUMENT_FILE = "limbeck.json"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
MEASURED_FILE = "measured.json"
# What a writer replaces in a directory that is an artifact already; all else in it stays.
OWN_FILES = frozenset({DOCUMENT_FILE, WEIGHTS_FILE, TOKENIZER_FILE, MEASURED_FILE})

# A 24-layer model needs about 100 KB of limbeck.json and 60 KB of safetensors header. The limits
# leave room for long lineages and keep a hostile file from filling the memory with parsed JSON.
MAX_JSON_BYTES = 16 * 2**20
MAX_HEADER_BYTES = 16 * 2**20
MAX_JSON_DEPTH = 64

# Parts whose size is a multiple of this come first, so that every one of them starts on a cache
# line and, behind them, float32 still starts on a multiple of four.
ALIGNMENT = 64

Dtype = Literal["F32", "I8"]
PartDtype = Literal["F32", "I8", "U8"]
Encoding = Literal["dense", "blocks"]

ITEM_BYTES: dict[str, int] = {"F32": 4, "I8": 1, "U8": 1}


@dataclass(frozen=True, kw_only=True)
class KindRule:
    """What a kind of tensor (limbeck.tensors) may be stored as.

    `dtypes`: allowed for each precision of the model, fp32 and int8.
    """

    fp32: tuple[Dtype, ...]
    int8: tuple[Dtype, ...]
    encodings: tuple[Encoding, ...]


KINDS: dict[str, KindRule] = {
    "linear": KindRule(fp32=("F32",), int8=("I8",), encodings=("dense", "blocks")),
    "embedding": KindRule(fp32=("F32", "I8"), int8=("F32", "I8"), encodings=("dense",)),
    "float": KindRule(fp32=("F32",), int8=("F32",), encodings=("dense",)),
}


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """One array in model.safetensors that a tensor of this encoding owns.

    `dtype` None: the tensor's own. `only_int8`: absent for F32.
    """

    role: Literal["values", "bitmap", "scale"]
    encoding: Encoding
    suffix: str
    dtype: PartDtype | None
    shape: str
    only_int8: bool = False


PART_TABLE: tuple[PartRow, ...] = (
    PartRow(role="values", encoding="dense", suffix="", dtype=None, shape="as the tensor"),
    PartRow(
        role="scale", encoding="dense", suffix=".scale", dtype="F32", shape="[rows]", only_int8=True
    ),
    PartRow(
        role="values",
        encoding="blocks",
        suffix=".values",
        dtype=None,
        shape="[kept blocks, block rows * block cols]",
    ),
    PartRow(
        role="bitmap",
        encoding="blocks",
        suffix=".bitmap",
        dtype="U8",
        shape="[ceil(blocks / 8)]",
    ),
    PartRow(
        role="scale",
        encoding="blocks",
        suffix=".scale",
        dtype="F32",
        shape="[rows]",
        only_int8=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class TableEntry:
    """One tensor in limbeck.json. `parts`: role -> name in model.safetensors."""

    name: str
    shape: tuple[int, ...]
    dtype: Dtype
    encoding: Encoding
    block: tuple[int, int] | None
    parts: dict[str, str]

    @property
    def blocks(self) -> int:
        """Blocks in the whole grid, kept or not; only for the encoding "blocks"."""
        assert self.block is not None
        return (self.shape[0] // self.block[0]) * (self.shape[1] // self.block[1])


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """Size and SHA-256 (64 lower-case hexadecimal digits) of a file beside limbeck.json."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files under the digest. Their names are fixed, so that no path is ever read from data."""

    weights: FileRecord
    tokenizer: FileRecord


@dataclass(frozen=True, kw_only=True)
class Document:
    """limbeck.json, whole. `digest` covers all of it but itself and the lineage."""

    format: int
    digest: str
    spec: ModelSpec
    files: Files
    tensors: tuple[TableEntry, ...]
    lineage: dict[str, Any]


def part_rows(encoding: str, dtype: str) -> tuple[PartRow, ...]:
    """The parts that a tensor of this encoding and dtype has."""
    return tuple(
        row
        for row in PART_TABLE
        if row.encoding == encoding and (dtype == "I8" or not row.only_int8)
    )


def part_names(name: str, encoding: str, dtype: str) -> dict[str, str]:
    """Role -> name in model.safetensors."""
    return {row.role: name + row.suffix for row in part_rows(encoding, dtype)}


def part_layout(entry: TableEntry, kept: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Role -> (dtype, shape) of each part; `kept` is read only for block-sparse tensors."""
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for row in part_rows(entry.encoding, entry.dtype):
        shape: tuple[int, ...]
        if row.role == "scale":
            shape = (entry.shape[0],)
        elif row.role == "bitmap":
            shape = ((entry.blocks + 7) // 8,)
        elif entry.block is None:
            shape = entry.shape
        else:
            shape = (kept, entry.block[0] * entry.block[1])
        layout[row.role] = (row.dtype or entry.dtype, shape)
    return layout

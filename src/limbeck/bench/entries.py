"""Who takes part in a comparison, on which variant of the test model, and from which files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck.bench import models, onnx_export, static_export
from limbeck.bench.contestants import CONTESTANTS, Contestant
from limbeck.bench.worker import interpreter
from limbeck.errors import EngineError, InputError

SHAPES: Mapping[str, models.Shape] = {
    "6x768": models.Shape(),
    "6x384": models.Shape(hidden=384, ffn=1536),  # all-MiniLM-L6-v2's
}
# Block patterns, output rows x inputs.
PATTERNS: Mapping[str, models.Blocks | None] = {
    "dense": None,
    "4x4": models.Blocks(rows=4, cols=4),
    "1x4": models.Blocks(rows=1, cols=4),
}
# What DeepSparse is for; its gain over its own dense speed hardly depends on the pattern.
_SPARSE_PEER_PATTERN = "4x4"
PEERS = tuple(dict.fromkeys(c.runtime for c in CONTESTANTS.values() if c.runtime != "limbeck"))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One contestant on one variant of the model."""

    contestant: Contestant
    pattern: str

    @property
    def subject(self) -> str:
        sparse = "" if self.pattern == "dense" else f" {self.pattern}"
        return self.contestant.name + sparse

    @property
    def ours(self) -> bool:
        return self.contestant.runtime == "limbeck"

    @property
    def dense_peer(self) -> bool:
        """One of those of which the fastest in the same precision is the rival."""
        return not self.ours and self.pattern == "dense"


def choose(names: Sequence[str], allowed: Sequence[str], what: str) -> list[str]:
    """`names`, in the order of `allowed`.

    Raises:
        InputError: a name that is not allowed; the message lists those that are.
    """
    for name in names:
        if name not in allowed:
            raise InputError(f"no {what} {name!r}; there are: {', '.join(allowed)}")
    return [name for name in allowed if name in names]


def entries(*, patterns: Sequence[str], peers: Sequence[str], floats: bool) -> list[Entry]:
    """Limbeck on every pattern, every setting of the peers on the dense model.

    Args:
        floats: those that compute in fp32 and bf16 too.

    Raises:
        InputError: a pattern or a peer that there is not.
    """
    ours = choose(patterns, tuple(PATTERNS), "model")
    theirs = choose(peers, PEERS, "peer")
    found = []
    for contestant in CONTESTANTS.values():
        is_float = contestant.precision != "int8"
        if is_float and not floats:
            continue
        if contestant.runtime == "limbeck":
            wanted = ["dense"] if is_float else ours
        elif contestant.runtime in theirs:
            wanted = [_SPARSE_PEER_PATTERN if contestant.runtime == "deepsparse" else "dense"]
        else:
            continue
        found += [Entry(contestant=contestant, pattern=pattern) for pattern in wanted]
    return found


def available(wanted: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Those whose environment is there, and why the others cannot take part."""
    there, missing = [], []
    for entry in wanted:
        try:
            interpreter(entry.contestant.environment)
        except EngineError as error:
            missing.append(str(error))
        else:
            there.append(entry)
    return there, list(dict.fromkeys(missing))


def write_paths(cache: Path, shape: models.Shape, pattern: str) -> dict[str, str]:
    """Make the files of one variant, or find them made: source -> path, for `Contestant.load`.

    Raises:
        MissingExtraError: torch, transformers, onnx or onnxruntime is not installed.
    """
    directory = cache / f"{shape.name}{'' if pattern == 'dense' else f'-{pattern}'}"
    hf = models.write_model(directory / "hf", replace(shape, blocks=PATTERNS[pattern]))
    onnx = onnx_export.export(hf, directory / "onnx")
    paths = {"hf": hf, "plain": onnx.plain, "fp32": onnx.fp32, "int8": onnx.int8}
    if pattern == _SPARSE_PEER_PATTERN:
        paths["static"] = static_export.export(hf, directory / "static")
    return {name: str(path) for name, path in paths.items()} | {"work": str(directory / "work")}

"""A small artifact with every encoding in it, and the tools of someone who forges artifacts.

`reseal` recomputes hashes and digest by the book (docs/format.md), not by limbeck's own code, so
a forgery fails for what is wrong with it and not for its digest.
"""

from __future__ import annotations

import hashlib
import json
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import artifact
from limbeck.spec import EncoderSpec, HeadSpec, ModelSpec, Precision, QuantSpec, TaskSpec, Threshold
from limbeck.tensors import Tensor, expected_tensors

TOKENIZER = b'{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}}}'
LINEAGE = {"teacher": "sha256:00", "recipe": {"temperature": 2.0, "steps": [1, 2]}, "é": None}
SPARSE = "layers.1.ffn.in.weight"
DENSE = "layers.0.ffn.in.weight"


def spec(precision: Precision = "int8") -> ModelSpec:
    """C = 8, F = 24, V = 19, P = 6; odd sizes on purpose."""
    return ModelSpec(
        encoder=EncoderSpec(
            architecture="bert",
            layers=2,
            hidden=8,
            heads=2,
            ffn=24,
            vocab=19,
            positions=6,
            types=2,
        ),
        task=TaskSpec(
            task="text-classification",
            max_tokens=6,
            labels=("fine", "leak", "ünklar"),
            problem="single_label",
            head=HeadSpec(kind="sequence", dense="tanh"),
            threshold=Threshold(label="leak", value=0.75, false_alarm_rate=0.001),
        ),
        quant=QuantSpec(precision=precision),
    )


def weights(model: ModelSpec, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors for a spec; SPARSE in 4x4 blocks."""
    rng = np.random.default_rng(seed)
    made: dict[str, Tensor] = {}
    for name, shape, row in expected_tensors(
        model.encoder, model.task.head, len(model.task.labels)
    ):
        if row.kind != "float" and model.quant.precision == "int8":
            made[name] = Tensor(
                shape=shape,
                values=rng.integers(-127, 128, shape, dtype=np.int8),
                scale=rng.uniform(0.01, 0.1, shape[0]).astype(np.float32),
            )
        else:
            made[name] = Tensor(shape=shape, values=rng.standard_normal(shape).astype(np.float32))
    full = made[SPARSE]
    mask = np.kron(rng.random((6, 2)) < 0.5, np.ones((4, 4), dtype=np.int8))
    pruned = Tensor(
        shape=full.shape, values=(full.values * mask).astype(full.values.dtype), scale=full.scale
    )
    made[SPARSE] = artifact.encode_blocks(pruned, (4, 4))
    return made


def write(directory: Path, precision: Precision = "int8", seed: int = 0) -> str:
    """The small artifact; returns its digest."""
    model = spec(precision)
    return artifact.write(
        directory,
        spec=model,
        weights=weights(model, seed),
        tokenizer_json=TOKENIZER,
        lineage=LINEAGE,
    )


def document(directory: Path) -> dict[str, Any]:
    """limbeck.json as JSON."""
    loaded: dict[str, Any] = json.loads((directory / "limbeck.json").read_bytes())
    return loaded


def reseal(directory: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Apply a change to limbeck.json and make sizes, hashes and digest true again."""
    fields = document(directory)
    for key, name in (("weights", "model.safetensors"), ("tokenizer", "tokenizer.json")):
        path = directory / name
        if path.is_file():
            content = path.read_bytes()
            fields["files"][key] = {
                "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
    if change is not None:
        change(fields)
    covered = {key: fields.get(key) for key in ("files", "format", "spec", "tensors")}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if "digest" in fields:
        fields["digest"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    (directory / "limbeck.json").write_text(json.dumps(fields), encoding="utf-8")


def entry(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """The table entry of a tensor in limbeck.json."""
    return next(item for item in fields["tensors"] if item["name"] == name)


@contextmanager
def no_hang(seconds: float = 10.0) -> Iterator[None]:
    """Fail instead of waiting for ever; only in the main thread."""

    def ring(signum: int, frame: object) -> None:
        raise TimeoutError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class WeightsFile:
    """model.safetensors taken apart: header as JSON, data as bytes."""

    header: dict[str, Any]
    data: bytearray

    @classmethod
    def load(cls, directory: Path) -> WeightsFile:
        content = (directory / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        return cls(json.loads(content[8 : 8 + length]), bytearray(content[8 + length :]))

    def span(self, name: str) -> slice:
        return slice(*self.header[name]["data_offsets"])

    def text(self) -> bytes:
        made = json.dumps(self.header).encode()
        return made + b" " * (-(8 + len(made)) % 64)

    def save(self, directory: Path, text: bytes | None = None) -> None:
        """Write it back, with `text` in place of the header where given, and reseal."""
        text = self.text() if text is None else text
        content = struct.pack("<Q", len(text)) + text + bytes(self.data)
        (directory / "model.safetensors").write_bytes(content)
        reseal(directory)

"""Shapes that a student can have, what they weigh, and how fast the engine runs them here.

In: limits of time and size. Out: `Measured` shapes with parameters, bytes and milliseconds. Shapes
with a name are those of published students; the others are a grid of layers and widths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.batch import pack
from limbeck.engine import Engine
from limbeck.errors import InputError
from limbeck.measure import interleave, percentile
from limbeck.spec import Architecture, EncoderSpec, HeadSpec, ModelSpec, TaskSpec
from limbeck.tensors import Tensor, expected_tensors

# The word table is looked up, not multiplied: a small one gives the same time.
_MEASURED_VOCAB = 1000
_LABELS = ("a", "b")
_CALLS = 4  # of each round


@dataclass(frozen=True, kw_only=True)
class StudentShape:
    """An encoder's shape. `note` says what a reader has to know about it; `runs`: whether limbeck's
    engine runs the architecture, and not only its shape."""

    name: str
    layers: int
    hidden: int
    heads: int
    ffn: int
    architecture: Architecture = "bert"
    vocab: int = 30522
    positions: int = 512
    types: int = 2
    embedding: int | None = None
    shared_layers: bool = False
    runs: bool = True
    note: str = ""

    @property
    def parameters(self) -> int:
        """Of the encoder, its embeddings and a head for two labels."""
        c, f = self.hidden, self.ffn
        width = self.embedding or c
        tables = (self.vocab + self.positions + self.types) * width + 2 * width
        tables += 0 if self.embedding is None else width * c + c
        layer = 4 * (c * c + c) + (c * f + f) + (f * c + c) + 4 * c
        return tables + layer * (1 if self.shared_layers else self.layers) + (c * c + c) + 2 * c + 2

    @property
    def int8_bytes(self) -> int:
        """About: a byte a weight, and a scale for each row of them."""
        rows = self.vocab + (1 if self.shared_layers else self.layers) * (
            5 * self.hidden + self.ffn
        )
        return self.parameters + 4 * rows

    def encoder(self, vocab: int) -> EncoderSpec:
        """The engine's description, with a word table of another size."""
        return EncoderSpec(
            architecture=self.architecture,
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            ffn=self.ffn,
            vocab=vocab,
            positions=self.positions,
            types=self.types,
            position_mode="after_padding" if self.architecture == "roberta" else "absolute",
            pad_id=1 if self.architecture == "roberta" else 0,
        )


PUBLISHED: tuple[StudentShape, ...] = (
    StudentShape(name="TinyBERT-4", layers=4, hidden=312, heads=12, ffn=1200),
    StudentShape(name="TinyBERT-6", layers=6, hidden=768, heads=12, ffn=3072),
    StudentShape(name="MiniLM-6", layers=6, hidden=384, heads=12, ffn=1536),
    StudentShape(name="MiniLM-12", layers=12, hidden=384, heads=12, ffn=1536),
    StudentShape(
        name="DistilBERT",
        layers=6,
        hidden=768,
        heads=12,
        ffn=3072,
        architecture="distilbert",
        types=0,
    ),
    StudentShape(
        name="RoBERTa-small",
        layers=6,
        hidden=768,
        heads=12,
        ffn=3072,
        architecture="roberta",
        vocab=50265,
        positions=514,
        types=1,
        note="DistilRoBERTa's shape",
    ),
    StudentShape(
        name="ALBERT-base",
        layers=12,
        hidden=768,
        heads=12,
        ffn=3072,
        vocab=30000,
        embedding=128,
        shared_layers=True,
        runs=False,
        note="shared layers: small, not fast; timed as BERT, limbeck does not run ALBERT",
    ),
)
_GRID_LAYERS = (2, 3, 4, 6)
_GRID_WIDTHS = (128, 256, 384, 512, 768)


_WRITTEN = re.compile(r"(\d+)x(\d+)x(\d+)x(\d+)")


def named(name: str) -> StudentShape:
    """A published shape, one of the grid, or one written LxCxHxF: layers, width, heads and width of
    the feed-forward layer, such as 4x312x12x1200.

    Raises:
        InputError: there is none of that name, a number is 0, or heads do not divide the width.
    """
    for shape in (*PUBLISHED, *grid()):
        if shape.name.lower() == name.lower():
            return shape
    match = _WRITTEN.fullmatch(name)
    if match is None:
        raise InputError(
            f"no shape {name!r}; write LAYERSxWIDTHxHEADSxFFN, such as 4x312x12x1200, or name one "
            f"of {', '.join(shape.name for shape in (*PUBLISHED, *grid()))}"
        )
    layers, hidden, heads, ffn = (int(number) for number in match.groups())
    if not min(layers, hidden, heads, ffn):
        raise InputError(f"shape {name}: layers, width, heads and ffn start at 1")
    if hidden % heads:
        raise InputError(f"shape {name}: {heads} heads do not divide a width of {hidden}")
    return StudentShape(name=name, layers=layers, hidden=hidden, heads=heads, ffn=ffn)


def grid() -> tuple[StudentShape, ...]:
    """Layers x widths with heads of 32 (or 64) and four times the width in between, without those
    that have a name."""
    named = {(shape.layers, shape.hidden, shape.ffn) for shape in PUBLISHED}
    return tuple(
        StudentShape(
            name=f"{layers}x{width}",
            layers=layers,
            hidden=width,
            heads=width // (32 if width < 512 else 64),
            ffn=4 * width,
        )
        for width in _GRID_WIDTHS
        for layers in _GRID_LAYERS
        if (layers, width, 4 * width) not in named
    )


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is timed: `batch` texts of `tokens` at once, on so many threads (None: all)."""

    batch: int = 1
    tokens: int = 128
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or not 1 <= self.tokens <= 512:
            raise InputError("give at least one text, of 1 to 512 tokens")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A shape with the median and the 95th percentile of its time for the whole batch, int8."""

    shape: StudentShape
    p50_ms: float
    p95_ms: float

    def fits(self, max_ms: float | None, max_mb: float | None) -> bool:
        """Whether it keeps both limits; None: there is none."""
        slow = max_ms is not None and self.p95_ms > max_ms
        large = max_mb is not None and self.shape.int8_bytes / 1e6 > max_mb
        return not slow and not large


def measure(
    shapes: Sequence[StudentShape], load: Load, *, rounds: int = 5, each: Callable[[], object]
) -> Iterator[Measured]:
    """Time shapes with random weights, one after the other; `each` is called after every one."""
    ids = np.random.default_rng(0).integers(5, _MEASURED_VOCAB, (load.batch, load.tokens))
    batch = pack(ids.tolist())
    for shape in shapes:
        engine = _engine(shape, load.threads)
        timing = interleave(
            {shape.name: lambda e=engine: e.forward(batch)},  # type: ignore[misc]
            rounds=rounds,
            calls_per_block=_CALLS,
        )[shape.name]
        each()
        p95_ms = percentile(timing.samples, 0.95) * 1e3
        yield Measured(shape=shape, p50_ms=timing.p50_ms, p95_ms=p95_ms)


def _engine(shape: StudentShape, threads: int | None) -> Engine:
    encoder = shape.encoder(_MEASURED_VOCAB)
    head = HeadSpec(
        kind="sequence", dense="relu" if encoder.architecture == "distilbert" else "tanh"
    )
    draw = np.random.default_rng(1)
    weights = {}
    for name, size, row in expected_tensors(encoder, head, len(_LABELS)):
        values = draw.standard_normal(size, dtype=np.float32)
        values *= np.float32(1.0 if row.kind == "float" else size[-1] ** -0.5)
        weights[name] = Tensor(shape=size, values=values)
    task = TaskSpec(
        task="text-classification", max_tokens=encoder.max_tokens, labels=_LABELS, head=head
    )
    return Engine(ModelSpec(encoder=encoder, task=task), weights, precision="int8", threads=threads)

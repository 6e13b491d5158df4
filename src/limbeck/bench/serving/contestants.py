"""Every server that is measured: its environment, its model, how it is asked, and what is tried.

The thread budget is BUDGET for everybody: workers x threads in each never exceed it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limbeck.bench.serving.files import MODEL_NAME, Source
from limbeck.errors import InputError

BUDGET = 2
MAX_TOKENS = 512


@dataclass(frozen=True, kw_only=True)
class Config:
    """As in `peers.settings.Settings`."""

    workers: int
    threads: int
    batch: int = 1
    wait_ms: float = 0
    slots: int = 0

    def __str__(self) -> str:
        parts = [f"{self.workers} x {self.threads} threads"]
        parts += [f"batch {self.batch}, {self.wait_ms:g} ms"] if self.batch > 1 else []
        parts += [f"{self.slots} at once"] if self.slots else []
        return ", ".join(parts)


Dialect = Literal["classify", "bento", "oip", "limbeck"]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One server.

    Args:
        environment: the one under .peers that it runs in; None: limbeck's own.
        module: of `bench.serving.peers`; None: `limbeck serve`.
        dialect: how it is asked.
        inside: what computes, for the table.
        grid: what the search tries.
        packages: whose versions stand in the rows.
    """

    name: str
    environment: str | None = None
    module: str | None = None
    source: Source = "onnx"
    dialect: Dialect = "classify"
    inside: str = "ONNX Runtime int8"
    grid: Sequence[Config]
    packages: Sequence[str]

    @property
    def ours(self) -> bool:
        return self.module is None

    @property
    def reference(self) -> Source:
        """The float32 weights that its answers are held against."""
        return "hf-4x4" if self.source == "artifact-4x4" else "hf"


def _grid(*batches: tuple[int, float]) -> tuple[Config, ...]:
    """One worker with the whole budget or one a thread, each with every batch and wait."""
    return tuple(
        Config(workers=workers, threads=BUDGET // workers, batch=batch, wait_ms=wait_ms)
        for workers in (1, BUDGET)
        for batch, wait_ms in batches
    )


# One text a request: how many compute at once in a process is what can be tried. 0 is what FastAPI
# does unasked, 40.
_POOL = (
    Config(workers=1, threads=2),
    Config(workers=1, threads=2, slots=1),
    Config(workers=1, threads=1, slots=2),
    Config(workers=2, threads=1, slots=1),
)


def _ours(name: str, source: Source, inside: str) -> Contestant:
    """Our server as it comes, with an instance for each thread: nothing is searched."""
    return Contestant(
        name=name,
        source=source,
        dialect="limbeck",
        inside=inside,
        grid=(Config(workers=BUDGET, threads=1),),
        packages=("limbeck",),
    )


CONTESTANTS: dict[str, Contestant] = {
    each.name: each
    for each in (
        _ours("limbeck", "artifact", "limbeck int8"),
        _ours("limbeck 4x4", "artifact-4x4", "limbeck int8, 80 % of 4x4 blocks gone"),
        Contestant(
            name="fastapi-transformers",
            environment="fastapi-transformers",
            module="fastapi_transformers",
            source="hf",
            inside="torch fp32",
            grid=_POOL,
            packages=("fastapi", "uvicorn", "torch", "transformers"),
        ),
        Contestant(
            name="fastapi-onnxruntime",
            environment="fastapi-onnxruntime",
            module="fastapi_onnxruntime",
            grid=_POOL,
            packages=("fastapi", "uvicorn", "onnxruntime"),
        ),
        Contestant(
            name="litserve",
            environment="litserve",
            module="lit",
            grid=_grid((1, 0), (4, 2), (8, 10)),
            packages=("litserve", "onnxruntime"),
        ),
        # BentoML's wait is a latency in milliseconds that a batch may reach; it refuses with 503
        # what it does not expect to answer in that time.
        Contestant(
            name="bentoml",
            environment="bentoml",
            module="bento",
            dialect="bento",
            grid=_grid((1, 0), (4, 1000), (8, 1000)),
            packages=("bentoml", "onnxruntime"),
        ),
        Contestant(
            name="ray-serve",
            environment="ray-serve",
            module="ray_serve",
            grid=_grid((1, 0), (4, 2), (8, 10)),
            packages=("ray", "onnxruntime"),
        ),
        Contestant(
            name="mlserver",
            environment="mlserver",
            module="mlserver_oip",
            dialect="oip",
            grid=_grid((1, 0), (4, 2), (8, 10)),
            packages=("mlserver", "onnxruntime"),
        ),
    )
}
PEERS = tuple(name for name, each in CONTESTANTS.items() if not each.ours)


def contestant(name: str) -> Contestant:
    """The contestant of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in CONTESTANTS:
        raise InputError(f"no server {name!r}; there are: {', '.join(CONTESTANTS)}")
    return CONTESTANTS[name]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A text as one contestant is asked for it. `probabilities` reads a body of status 200."""

    path: str
    body: bytes
    probabilities: Callable[[bytes], list[float]]


def _classified(body: bytes) -> list[float]:
    return _row(json.loads(body)["predictions"])


def _bento(body: bytes) -> list[float]:
    return _row(json.loads(body))


def _oip(body: bytes) -> list[float]:
    values: list[float] = json.loads(body)["outputs"][0]["data"]
    return values


def _row(rows: Any) -> list[float]:
    (row,) = rows
    return [float(value) for value in row]


READERS: dict[Dialect, Callable[[bytes], list[float]]] = {
    "classify": _classified,
    "limbeck": _classified,
    "bento": _bento,
    "oip": _oip,
}


def question(dialect: Dialect, text: str) -> Question:
    """One text in a dialect: the body, and how its answer reads."""
    body: dict[str, Any] = {"text": text}
    path = "/classify"
    if dialect == "oip":
        content = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
        body, path = {"inputs": [content]}, f"/v2/models/{MODEL_NAME}/infer"
    elif dialect == "bento":
        body = {"text": [text]}
    return Question(path=path, body=json.dumps(body).encode(), probabilities=READERS[dialect])

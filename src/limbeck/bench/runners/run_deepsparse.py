"""DeepSparse on a graph in the one quantised form that it runs fast; a compilation a shape."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.bench.contestants import Contestant
from limbeck.bench.padding import pad, unpad
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.measure import versions


class _DeepSparse:
    """A compiled graph lives as long as prepared work that needs it."""

    def __init__(self, path: Path, threads: int) -> None:
        import deepsparse

        self._engine_of = deepsparse.Engine
        self._path = path
        self._threads = threads
        self._compiled: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()

    def _engine(self, shape: tuple[int, ...]) -> Any:
        engine = self._compiled.get(shape)
        if engine is None:
            engine = self._engine_of(
                model=str(self._path),
                batch_size=shape[0],
                num_cores=self._threads,
                input_shapes=[list(shape), list(shape)],
            )
            self._compiled[shape] = engine
        return engine

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        inputs = list(pad(ids, length=pad_to))
        engine = self._engine(inputs[0].shape)
        place = engine.output_names.index(output)
        return lambda: engine.run(inputs, val_inp=False)[place]

    def answer(self, ids: Rows, output: Output) -> F32:
        values: Any = self.prepare(ids, output)()
        return unpad(np.asarray(values, dtype=np.float32), ids)

    def facts(self) -> dict[str, str]:
        return versions(["deepsparse"])


def load(contestant: Contestant, source: Path, work: Path | None, threads: int) -> _DeepSparse:
    return _DeepSparse(source, threads)

"""ONNX Runtime on graphs that it has fused, and quantised, itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limbeck.bench.contestants import Contestant
from limbeck.bench.onnx_run import OnnxModel
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.measure import versions


class _OnnxRuntime:
    def __init__(self, path: Path, threads: int) -> None:
        self._model = OnnxModel(path, threads=threads)

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        feeds = self._model.feeds(ids, pad_to=pad_to)
        return lambda: self._model.run(feeds, output)

    def answer(self, ids: Rows, output: Output) -> F32:
        return self._model.forward(ids, output=output)

    def facts(self) -> dict[str, str]:
        return versions(["onnxruntime", "onnx"])


def load(contestant: Contestant, source: Path, work: Path | None, threads: int) -> _OnnxRuntime:
    return _OnnxRuntime(source, threads)

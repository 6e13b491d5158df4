"""The engine of our own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limbeck.bench.contestants import Contestant
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.measure import versions


class _Limbeck:
    def __init__(self, directory: Path, precision: str, threads: int) -> None:
        from limbeck import runtimes

        self._model = runtimes.load(str(directory), precision=precision, threads=threads)

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        from limbeck.batch import pack

        batch = pack(ids)
        return lambda: self._model.forward(batch, output=output)

    def answer(self, ids: Rows, output: Output) -> F32:
        return self._model.forward(ids, output=output)

    def facts(self) -> dict[str, str]:
        return {"isa": str(self._model.describe()["isa"]), **versions(["limbeck"])}


def load(contestant: Contestant, source: Path, work: Path | None, threads: int) -> _Limbeck:
    return _Limbeck(source, contestant.precision, threads)

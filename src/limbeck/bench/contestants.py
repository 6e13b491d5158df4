"""Everything that can be timed: name -> how to load it and how to call it, in its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, MissingExtraError
from limbeck.measure import versions

if TYPE_CHECKING:
    import torch

F32 = npt.NDArray[np.float32]
Rows = Sequence[Sequence[int]]
Output = Literal["logits", "hidden"]


class Loaded(Protocol):
    """A model in memory. Answers are [B, L] logits or [T, C] packed hidden states."""

    def prepare(self, ids: Rows, output: Output) -> Callable[[], object]:
        """Inputs made ready, and the call that is timed."""

    def answer(self, ids: Rows, output: Output) -> F32: ...

    def facts(self) -> dict[str, str]:
        """isa and whatever else tells one build of the contestant from another."""


class _Limbeck:
    def __init__(self, directory: Path, precision: Literal["fp32", "int8"], threads: int) -> None:
        from limbeck import runtimes

        self._model = runtimes.load(str(directory), precision=precision, threads=threads)

    def prepare(self, ids: Rows, output: Output) -> Callable[[], object]:
        from limbeck.batch import pack

        batch = pack(ids)
        return lambda: self._model.forward(batch, output=output)

    def answer(self, ids: Rows, output: Output) -> F32:
        return self._model.forward(ids, output=output)

    def facts(self) -> dict[str, str]:
        return {"isa": str(self._model.describe()["isa"]), **versions(["limbeck"])}


class _OnnxRuntime:
    def __init__(self, path: Path, threads: int) -> None:
        from limbeck.bench.onnx_run import OnnxModel

        self._model = OnnxModel(path, threads=threads)

    def prepare(self, ids: Rows, output: Output) -> Callable[[], object]:
        feeds = self._model.feeds(ids)
        return lambda: self._model.run(feeds, output)

    def answer(self, ids: Rows, output: Output) -> F32:
        return self._model.forward(ids, output=output)

    def facts(self) -> dict[str, str]:
        return versions(["onnxruntime", "onnx"])


class _Torch:
    """Eager fp32 with transformers: the reference that answers are compared with."""

    def __init__(self, directory: Path, threads: int) -> None:
        try:
            import torch
            from transformers import AutoModelForSequenceClassification
        except ImportError as error:
            raise MissingExtraError(error.name or "torch", "forge") from None
        torch.set_num_threads(threads)
        model = AutoModelForSequenceClassification.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True
        )
        self._model = model.eval()

    def prepare(self, ids: Rows, output: Output) -> Callable[[], object]:
        import torch

        tensor = torch.tensor(ids)

        def call() -> object:
            return self._run(tensor, output)

        return call

    def answer(self, ids: Rows, output: Output) -> F32:
        import torch

        values: F32 = self._run(torch.tensor(ids), output).numpy()
        return values if output == "logits" else values.reshape(-1, values.shape[-1])

    def _run(self, ids: torch.Tensor, output: Output) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            if output == "logits":
                logits: torch.Tensor = self._model(input_ids=ids).logits
                return logits
            hidden: torch.Tensor = self._model.base_model(input_ids=ids).last_hidden_state
            return hidden

    def facts(self) -> dict[str, str]:
        return versions(["torch", "transformers"])


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """`source`: which file of the test model it loads, a key of the paths given to `load`."""

    runtime: Literal["limbeck", "onnxruntime", "torch"]
    precision: Literal["fp32", "int8"]
    source: Literal["hf", "fp32", "int8"]

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.precision}"

    def load(self, paths: Mapping[str, str], threads: int) -> Loaded:
        path = Path(paths[self.source])
        if self.runtime == "limbeck":
            return _Limbeck(path, self.precision, threads)
        if self.runtime == "onnxruntime":
            return _OnnxRuntime(path, threads)
        return _Torch(path, threads)


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(runtime="limbeck", precision="int8", source="hf"),
        Contestant(runtime="limbeck", precision="fp32", source="hf"),
        Contestant(runtime="onnxruntime", precision="int8", source="int8"),
        Contestant(runtime="onnxruntime", precision="fp32", source="fp32"),
        Contestant(runtime="torch", precision="fp32", source="hf"),
    )
}
REFERENCE = "torch fp32"


def contestant(name: str) -> Contestant:
    """The contestant of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in CONTESTANTS:
        raise InputError(f"no contestant {name!r}; there are: {', '.join(CONTESTANTS)}")
    return CONTESTANTS[name]

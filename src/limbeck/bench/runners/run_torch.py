"""transformers in eager torch: fp32, the reference that answers are compared with, bf16, int8."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.bench.contestants import Contestant, Precision
from limbeck.bench.padding import pad, unpad
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.errors import MissingExtraError
from limbeck.measure import versions


class _Torch:
    def __init__(self, directory: Path, precision: Precision, threads: int) -> None:
        try:
            import torch
            from transformers import AutoModelForSequenceClassification
        except ImportError as error:
            raise MissingExtraError(error.name or "torch", "forge") from None
        torch.set_num_threads(threads)
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True
        ).eval()
        if precision == "bf16":
            model = model.to(torch.bfloat16)
        if precision == "int8":
            with warnings.catch_warnings():
                # Deprecated in favour of torchao, but what torch itself has.
                warnings.simplefilter("ignore")
                model = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
                    model, {torch.nn.Linear}, dtype=torch.qint8
                )
        self._model = model

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        import torch

        padded, mask = pad(ids, length=pad_to)
        inputs = {"input_ids": torch.from_numpy(padded)}
        if not mask.all():
            inputs["attention_mask"] = torch.from_numpy(mask)

        def call() -> Any:
            with torch.inference_mode():
                if output == "logits":
                    return self._model(**inputs).logits
                return self._model.base_model(**inputs).last_hidden_state

        return call

    def answer(self, ids: Rows, output: Output) -> F32:
        answer: Any = self.prepare(ids, output)()
        return unpad(answer.float().numpy().astype(np.float32), ids)

    def facts(self) -> dict[str, str]:
        return versions(["torch", "transformers"])


def load(contestant: Contestant, source: Path, work: Path | None, threads: int) -> _Torch:
    return _Torch(source, contestant.precision, threads)

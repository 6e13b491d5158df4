"""Token ids -> the peer's answers, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.bench.padding import F32, I64, pad, unpad
from limbeck.errors import MissingExtraError


class OnnxModel:
    """A session with `threads` threads inside an operator and one between them.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, *, threads: int = 1, pad_id: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("onnxruntime", "bench") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {value.name for value in self._session.get_inputs()}
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        self._pad_id = pad_id

    def feeds(
        self,
        ids: Sequence[Sequence[int]],
        type_ids: Sequence[Sequence[int]] | None = None,
        *,
        pad_to: int | None = None,
    ) -> dict[str, I64]:
        """Padded inputs by name; `type_ids` default to zero where the model takes them."""
        padded, mask = pad(ids, value=self._pad_id, length=pad_to)
        named = {"input_ids": padded, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            types = np.zeros_like(padded) if type_ids is None else pad(type_ids, length=pad_to)[0]
            named["token_type_ids"] = types
        return named

    def run(self, feeds: dict[str, I64], output: str) -> F32:
        """One output, padded: [B, L], [B, S, L] or [B, S, C]."""
        answer: F32 = self._session.run([output], feeds)[0]
        return answer

    def forward(
        self,
        ids: Sequence[Sequence[int]],
        type_ids: Sequence[Sequence[int]] | None = None,
        *,
        output: str = "logits",
    ) -> F32:
        """Answers of B sequences, without padding: [B, L], or [T, L] or [T, C] packed."""
        return unpad(self.run(self.feeds(ids, type_ids), output), ids)

"""Token ids -> the peer's answers, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import MissingExtraError

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


def pad(rows: Sequence[Sequence[int]], *, value: int = 0) -> tuple[I64, I64]:
    """Rows of token ids -> ids [B, S], `value` behind the end, and mask [B, S]."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), value, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask


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
        self, ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]] | None = None
    ) -> dict[str, I64]:
        """Padded inputs by name; `type_ids` default to zero where the model takes them."""
        padded, mask = pad(ids, value=self._pad_id)
        named = {"input_ids": padded, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            types = np.zeros_like(padded) if type_ids is None else pad(type_ids)[0]
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
        answer = self.run(self.feeds(ids, type_ids), output)
        if answer.ndim == 2:
            return answer
        return np.concatenate([answer[row, : len(tokens)] for row, tokens in enumerate(ids)])

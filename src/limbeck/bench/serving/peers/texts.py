"""Texts -> probabilities through `tokenizers` and ONNX Runtime: the model inside most peers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limbeck.bench.serving.peers.settings import Settings


class OnnxTexts:
    """The model in this process. A batch is padded to its longest text.

    Threads of ONNX Runtime do not spin between two calls: in a server they would take the
    processors from those who read and write requests.
    """

    def __init__(self, settings: Settings) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            settings.model, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(settings.tokenizer)
        self._tokenizer.enable_truncation(settings.max_tokens)
        self._tokenizer.enable_padding()

    def classify(self, texts: Sequence[str]) -> list[list[float]]:
        """[B][L] probabilities, softmax over the labels."""
        encoded = self._tokenizer.encode_batch_fast(list(texts))
        named = {
            "input_ids": np.array([each.ids for each in encoded], dtype=np.int64),
            "attention_mask": np.array([each.attention_mask for each in encoded], dtype=np.int64),
        }
        if "token_type_ids" in self._inputs:
            named["token_type_ids"] = np.zeros_like(named["input_ids"])
        logits = self._session.run(["logits"], named)[0]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        answer: list[list[float]] = (shares / shares.sum(axis=1, keepdims=True)).tolist()
        return answer

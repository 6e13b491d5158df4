"""CTranslate2's encoder in int8; the head, which it does not have, in numpy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.bench.contestants import Contestant
from limbeck.bench.padding import pad, unpad
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.bench.runners.keeping import kept
from limbeck.measure import versions

_FORMAT = "2"  # raise it when what _convert writes changes
_HEAD = (
    "pre_classifier.weight",
    "pre_classifier.bias",
    "classifier.weight",
    "classifier.bias",
)


def _convert(source: Path, directory: Path) -> None:
    """DistilBERT's tensors in CTranslate2's names; its own converter would need torch."""
    from ctranslate2.specs import common_spec, transformer_spec
    from safetensors.numpy import load_file

    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    weights = load_file(source / "model.safetensors")

    def linear(spec: Any, *names: str) -> None:
        parts = [f"distilbert.transformer.layer.{name}" for name in names]
        spec.weight = np.concatenate([weights[f"{part}.weight"] for part in parts])
        spec.bias = np.concatenate([weights[f"{part}.bias"] for part in parts])

    def norm(spec: Any, name: str) -> None:
        spec.gamma = weights[f"distilbert.{name}.weight"]
        spec.beta = weights[f"distilbert.{name}.bias"]

    encoder = transformer_spec.TransformerEncoderSpec(
        config["n_layers"],
        config["n_heads"],
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
    )
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = weights["distilbert.embeddings.word_embeddings.weight"]
    encoder.position_encodings.encodings = weights[
        "distilbert.embeddings.position_embeddings.weight"
    ]
    norm(encoder.layernorm_embedding, "embeddings.LayerNorm")
    for number, layer in enumerate(encoder.layer):
        query, key, value = (f"{number}.attention.{part}_lin" for part in "qkv")
        linear(layer.self_attention.linear[0], query, key, value)
        linear(layer.self_attention.linear[1], f"{number}.attention.out_lin")
        norm(layer.self_attention.layer_norm, f"transformer.layer.{number}.sa_layer_norm")
        linear(layer.ffn.linear_0, f"{number}.ffn.lin1")
        linear(layer.ffn.linear_1, f"{number}.ffn.lin2")
        norm(layer.ffn.layer_norm, f"transformer.layer.{number}.output_layer_norm")
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    spec.register_vocabulary([f"token{number}" for number in range(config["vocab_size"])])
    spec.config.unk_token = "token1"
    spec.config.layer_norm_epsilon = 1e-12
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(directory))
    head: dict[str, Any] = {name: weights[name] for name in _HEAD}
    np.savez(directory / "head.npz", **head)


class _CTranslate2:
    def __init__(self, source: Path, work: Path, threads: int) -> None:
        import ctranslate2

        made = kept(
            work / "ctranslate2-int8",
            source,
            {**self.facts(), "format": _FORMAT},
            lambda directory: _convert(source, directory),
        )
        self._encoder = ctranslate2.Encoder(
            str(made), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )
        self._view = ctranslate2.StorageView
        with np.load(made / "head.npz") as head:
            self._head: list[F32] = [head[name] for name in _HEAD]

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        lengths = self._view.from_array(np.array([len(row) for row in ids], dtype=np.int32))
        view = self._view.from_array(pad(ids)[0].astype(np.int32))

        def call() -> F32:
            # A view of the answer, not a copy.
            hidden = np.asarray(self._encoder.forward_batch(view, lengths).last_hidden_state)
            return hidden if output == "hidden" else self._logits(hidden[:, 0])

        return call

    def _logits(self, first: F32) -> F32:
        """[B, C] -> [B, L]: DistilBERT's head."""
        dense, dense_bias, classifier, bias = self._head
        logits: F32 = np.maximum(first @ dense.T + dense_bias, 0) @ classifier.T + bias
        return logits

    def answer(self, ids: Rows, output: Output) -> F32:
        values: Any = self.prepare(ids, output)()
        return unpad(values, ids)

    def facts(self) -> dict[str, str]:
        return versions(["ctranslate2"])


def load(contestant: Contestant, source: Path, work: Path | None, threads: int) -> _CTranslate2:
    assert work is not None
    return _CTranslate2(source, work, threads)

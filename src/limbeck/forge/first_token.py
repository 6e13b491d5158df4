"""The last layer where only its first token is read: queries, feed-forward and norms of one token.

A classification head on sequences reads the first token alone. What the last layer computes for all
others, keys and values apart, reaches no loss: of six layers that is a seventh of a training step,
of three more than a quarter. The engine leaves it out too (`native/model/forward.h`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from limbeck.forge.taps import encoder_layers


@contextmanager
def first_token_alone(model: Any) -> Iterator[None]:
    """While open, last layers below a head on sequences give [b, 1, C] instead of [b, S, C].

    Models with other heads, and layers that need what is left out here, stay as they are. `model`
    may hold several: each is looked at.
    """
    changed = []
    for inner in model.modules():
        if not type(inner).__name__.endswith("ForSequenceClassification"):
            continue
        layer: Any = encoder_layers(inner)[-1]
        if inner.config._attn_implementation != "eager" or getattr(layer, "is_decoder", False):
            continue
        compute = _bert if hasattr(layer.attention, "self") else _distilbert
        layer.forward = partial(compute, layer)
        changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward  # the class's own shows again


def _bert(
    layer: Any, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any
) -> torch.Tensor:
    """BERT's and RoBERTa's layer: [b, S, C] -> [b, 1, C]."""
    own, first = layer.attention.self, hidden[:, :1]
    mixed = _attend(
        own.query(first),
        own.key(hidden),
        own.value(hidden),
        attention_mask,
        heads=own.num_attention_heads,
        dropout=own.dropout,
    )
    attended = layer.attention.output(mixed, first)
    answer: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return answer


def _distilbert(
    layer: Any, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any
) -> torch.Tensor:
    """DistilBERT's: [b, S, C] -> [b, 1, C]."""
    own, first = layer.attention, hidden[:, :1]
    mixed = _attend(
        own.q_lin(first),
        own.k_lin(hidden),
        own.v_lin(hidden),
        attention_mask,
        heads=own.n_heads,
        dropout=own.dropout,
    )
    attended = layer.sa_layer_norm(own.out_lin(mixed) + first)
    answer: torch.Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
    return answer


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    heads: int,
    dropout: torch.nn.Dropout,
) -> torch.Tensor:
    """Attention of the first token [b, 1, C] to keys and values [b, S, C].

    mask: [b, 1, S or 1, S], added to the scores, as transformers makes it for eager attention.
    """

    def split(vectors: torch.Tensor) -> torch.Tensor:
        return vectors.view(*vectors.shape[:2], heads, -1).transpose(1, 2)

    query, key, value = split(query), split(key), split(value)
    scores = query @ key.transpose(2, 3) * query.size(-1) ** -0.5
    if mask is not None:
        scores = scores + mask[:, :, :1]
    shares = functional.dropout(
        functional.softmax(scores, dim=-1), p=dropout.p, training=dropout.training
    )
    return (shares @ value).transpose(1, 2).flatten(2)

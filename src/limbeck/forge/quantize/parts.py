"""Where a transformers encoder keeps what an int8 engine quantises: its linear layers and word
table, by limbeck's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from limbeck.errors import ModelError
from limbeck.forge.taps import encoder_layers
from limbeck.huggingface.names import source_names

# A layer's linear parts, and the range that their inputs would have.
LINEAR: dict[str, str] = {
    "attention.query": "attention.range",
    "attention.key": "attention.range",
    "attention.value": "attention.range",
    "attention.output": "attention.output.range",
    "ffn.in": "ffn.in.range",
    "ffn.out": "ffn.out.range",
}


def linear_layers(model: Any) -> Iterator[tuple[str, str, torch.nn.Linear]]:
    """(name, name of its inputs' range, module) of each linear layer of the encoder, in order.

    Raises:
        ModelError: an architecture that limbeck does not know.
    """
    kind = model.config.model_type
    for number in range(len(encoder_layers(model))):
        for part, known in LINEAR.items():
            name = f"layers.{number}.{part}"
            path = source_names(f"{name}.weight", kind, "feature-extraction", "")[0]
            module = model.base_model.get_submodule(path.removesuffix(".weight"))
            if not isinstance(module, torch.nn.Linear):
                raise ModelError(f"{path} is a {type(module).__name__}, not a linear layer")
            yield name, f"layers.{number}.{known}", module


def word_table(model: Any) -> torch.nn.Embedding:
    """The word embeddings."""
    module: torch.nn.Embedding = model.get_input_embeddings()
    return module

"""What a model computes inside, noted while it runs: hidden states, queries, keys and values.

In: a transformers encoder with any head. Out: tensors by layer, those of the last forward pass.
"""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Any, Literal, Self

import torch

from limbeck.errors import ModelError

Vectors = Literal["query", "key", "value"]
VECTORS: tuple[Vectors, ...] = ("query", "key", "value")
# BERT and RoBERTa name the parts of attention so; DistilBERT calls them q_lin, k_lin, v_lin.
_SHORT: dict[Vectors, str] = {"query": "q_lin", "key": "k_lin", "value": "v_lin"}


def encoder_layers(model: Any) -> list[torch.nn.Module]:
    """The encoder's layers, first to last.

    Raises:
        ModelError: the model has none where BERT, RoBERTa or DistilBERT have them.
    """
    base = model.base_model
    stack = getattr(base, "encoder", None) or getattr(base, "transformer", None)
    layers = getattr(stack, "layer", None)
    if layers is None:
        raise ModelError(f"{type(model).__name__} has no encoder layers that limbeck knows")
    return list(layers)


class Taps:
    """Notes hidden states, or queries, keys and values, of chosen layers while it is open.

    hidden: layers whose output is wanted, from 1; 0 is the output of the embeddings. vectors:
    layers whose queries, keys and values are wanted, from 1. Use as a context manager; what was
    noted belongs to the last forward pass.
    """

    def __init__(
        self, model: Any, *, hidden: Collection[int] = (), vectors: Collection[int] = ()
    ) -> None:
        self._model = model
        self._hidden, self._vectors = set(hidden), set(vectors)
        self._handles: list[Any] = []
        self.hidden: dict[int, torch.Tensor] = {}
        self.vectors: dict[tuple[int, Vectors], torch.Tensor] = {}

    def __enter__(self) -> Self:
        layers = encoder_layers(self._model)
        wanted = self._hidden | self._vectors
        if wanted and not 0 <= min(wanted) <= max(wanted) <= len(layers):
            raise ModelError(f"layers {sorted(wanted)} are wanted of an encoder of {len(layers)}")
        if 0 in self._hidden:
            self._note(self._model.base_model.embeddings, self.hidden, 0)
        for number, layer in enumerate(layers, start=1):
            if number in self._hidden:
                self._note(layer, self.hidden, number)
            if number in self._vectors:
                for name in VECTORS:
                    self._note(_part(layer, name), self.vectors, (number, name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _note(self, module: torch.nn.Module, notes: dict[Any, torch.Tensor], key: Any) -> None:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            notes[key] = output[0] if isinstance(output, tuple) else output

        self._handles.append(module.register_forward_hook(hook))


def _part(layer: Any, name: Vectors) -> torch.nn.Module:
    attention = layer.attention
    inner = getattr(attention, "self", attention)
    found = getattr(inner, name, None) or getattr(inner, _SHORT[name], None)
    if found is None:
        raise ModelError(f"{type(layer).__name__} has no {name} layer that limbeck knows")
    module: torch.nn.Module = found
    return module

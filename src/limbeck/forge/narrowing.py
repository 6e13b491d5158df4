"""Which rows and columns of a teacher a narrower student keeps, and its weights cut to them.

A hidden dimension is kept in all layers and tables or in none, for layers add to what they read. A
head is kept with the dimensions of its queries and keys (they meet in a product) and of its values
and the output's columns. What stays is what weighs most; order is kept, so that a student of full
width is its teacher's weights, bit for bit. That whole heads and columns of the feed-forward layer
can go: Michel et al. 2019 (arXiv 1905.10650), McCarley et al. 2019 (arXiv 1910.06360).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from limbeck.errors import ModelError

Role = Literal["all", "hidden", "qk", "value", "ffn"]
Tables = Mapping[str, torch.Tensor]

_LAYER = re.compile(r"\.layer\.(\d+)\.(.+)\.(weight|bias)$")
# BERT and RoBERTa, then DistilBERT: module of a layer -> roles of its outputs and inputs.
_MODULES: dict[str, tuple[Role, Role]] = {
    "attention.self.query": ("qk", "hidden"),
    "attention.self.key": ("qk", "hidden"),
    "attention.self.value": ("value", "hidden"),
    "attention.output.dense": ("hidden", "value"),
    "attention.output.LayerNorm": ("hidden", "all"),
    "intermediate.dense": ("ffn", "hidden"),
    "output.dense": ("hidden", "ffn"),
    "output.LayerNorm": ("hidden", "all"),
    "attention.q_lin": ("qk", "hidden"),
    "attention.k_lin": ("qk", "hidden"),
    "attention.v_lin": ("value", "hidden"),
    "attention.out_lin": ("hidden", "value"),
    "sa_layer_norm": ("hidden", "all"),
    "ffn.lin1": ("ffn", "hidden"),
    "ffn.lin2": ("hidden", "ffn"),
    "output_layer_norm": ("hidden", "all"),
}
_QUERY = ("attention.self.query", "attention.q_lin")
_KEY = ("attention.self.key", "attention.k_lin")
_VALUE = ("attention.self.value", "attention.v_lin")
_OUT = ("attention.output.dense", "attention.out_lin")
_FFN_IN = ("intermediate.dense", "ffn.lin1")
_FFN_OUT = ("output.dense", "ffn.lin2")
# Outside of layers, by the last part of the module's name.
_OUTSIDE: dict[str, tuple[Role, Role]] = {
    "word_embeddings": ("all", "hidden"),
    "position_embeddings": ("all", "hidden"),
    "token_type_embeddings": ("all", "hidden"),
    "LayerNorm": ("hidden", "all"),
    "dense": ("hidden", "hidden"),
    "pre_classifier": ("hidden", "hidden"),
    "classifier": ("all", "hidden"),
    "out_proj": ("all", "hidden"),
    "qa_outputs": ("all", "hidden"),
}


@dataclass(frozen=True, kw_only=True)
class Width:
    """C hidden, H heads, F feed-forward; D = C / H is a head's width."""

    hidden: int
    heads: int
    ffn: int

    @property
    def head(self) -> int:
        return self.hidden // self.heads


def largest(importance: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the `count` largest values, in rising order; of equal ones the first."""
    return torch.sort(torch.argsort(importance, descending=True, stable=True)[:count]).values


def narrow(weights: Tables, teacher: Width, student: Width) -> dict[str, torch.Tensor]:
    """Weights of a transformers encoder with a head, cut to a smaller width in every part.

    Queries are scaled by sqrt(D of the student / D of the teacher), so that scores, which are
    divided by sqrt(D), keep their size.

    Args:
        weights: a state_dict with the layers that the student has.

    Raises:
        ModelError: a tensor of an architecture that is not known here.
    """
    roles = {name: _roles(name) for name in weights}
    places: dict[tuple[str, Role], torch.Tensor] = {
        ("", "hidden"): largest(hidden_importance(weights, roles), student.hidden)
    }
    layers = sorted({match[1] for name in weights if (match := _LAYER.search(name))}, key=int)
    for layer in layers:
        own = LayerMatrices(weights, layer)
        places[layer, "ffn"] = largest(own.ffn_importance(), student.ffn)
        heads = largest(own.head_importance(teacher), student.heads)
        for role in ("qk", "value"):
            inside = own.inside_importance(role, teacher)[heads]  # [H of the student, D]
            kept = [
                head * teacher.head + largest(each, student.head)
                for head, each in zip(heads.tolist(), inside)
            ]
            places[layer, role] = torch.cat(kept)
    scale = math.sqrt(student.head / teacher.head)
    found = {}
    for name, value in weights.items():
        match = _LAYER.search(name)
        layer = "" if match is None else match[1]
        for axis, role in enumerate(roles[name][: value.dim()]):
            if role != "all":
                at = places["" if role == "hidden" else layer, role]
                value = value.index_select(axis, at)
        if match is not None and match[2] in _QUERY and scale != 1:
            value = value * scale
        found[name] = value.clone()
    return found


def _roles(name: str) -> tuple[Role, Role]:
    match = _LAYER.search(name)
    module = name.rsplit(".", 1)[0]
    found = _OUTSIDE.get(module.rsplit(".", 1)[-1]) if match is None else _MODULES.get(match[2])
    if found is None:
        raise ModelError(
            f"{name}: it is not known how this tensor is made narrower; limbeck narrows BERT, "
            "RoBERTa and DistilBERT"
        )
    return found


def hidden_importance(
    weights: Tables, roles: Mapping[str, tuple[Role, Role]] | None = None
) -> torch.Tensor:
    """[C]: the share of each hidden dimension in the squares of every matrix in a layer that reads
    or writes it, and of the word table; every matrix counts the same."""
    total: torch.Tensor | None = None
    for name, value in weights.items():
        known = _roles(name) if roles is None else roles[name]
        counted = _LAYER.search(name) is not None or "word_embeddings" in name
        if value.dim() != 2 or not counted or "hidden" not in known:
            continue
        squares = value.double().square().sum(1 - known.index("hidden"))
        share = squares / squares.sum().clamp(min=1e-300)
        total = share if total is None else total + share
    assert total is not None
    return total


class LayerMatrices:
    """One layer's matrices, float64."""

    def __init__(self, weights: Tables, layer: str) -> None:
        self._matrices = {
            match[2]: value.double()
            for name, value in weights.items()
            if (match := _LAYER.search(name)) and match[1] == layer and match[3] == "weight"
        }

    def _of(self, names: tuple[str, ...]) -> torch.Tensor:
        return next(self._matrices[name] for name in names if name in self._matrices)

    def ffn_importance(self) -> torch.Tensor:
        """[F]: |row of the first matrix| * |column of the second|."""
        return _norms(self._of(_FFN_IN), 1) * _norms(self._of(_FFN_OUT), 0)

    def head_importance(self, width: Width) -> torch.Tensor:
        """[H]: the Frobenius norm of what a head does to values, output_h @ value_h."""
        value = self._of(_VALUE).view(width.heads, width.head, -1)
        out = self._of(_OUT).view(-1, width.heads, width.head).transpose(0, 1)
        return _norms((out @ value).flatten(1), 1)

    def inside_importance(self, role: Role, width: Width) -> torch.Tensor:
        """[H, D]: |query row| * |key row|, or |value row| * |output column|."""
        if role == "qk":
            each = _norms(self._of(_QUERY), 1) * _norms(self._of(_KEY), 1)
        else:
            each = _norms(self._of(_VALUE), 1) * _norms(self._of(_OUT), 0)
        return each.view(width.heads, width.head)


def _norms(matrix: torch.Tensor, axis: int) -> torch.Tensor:
    """Lengths of the rows (axis 1) or of the columns (axis 0)."""
    return matrix.square().sum(axis).sqrt()

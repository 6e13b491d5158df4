"""Whole attention heads and feed-forward columns that go at once, the least important ones.

Michel, Levy and Neubig 2019 (arXiv 1905.10650), equation 2: a head matters as much as the loss
changes with its gate, I_h = E |dL / dg_h|; the same for a column of the feed-forward layer. Every
layer keeps as many, so that one number in config.json says it. The feed-forward layers get
narrower. Heads cannot make a layer narrower: transformers and the engine cut all C dimensions into
heads. So fewer heads are wider ones, and what the heads that went leave behind is rows of zeros,
which are stored as blocks that are not there.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch

from limbeck.errors import InputError, TrainingError
from limbeck.forge import training
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.narrowing import LayerMatrices, Width, largest
from limbeck.forge.prune.layers import part
from limbeck.forge.taps import encoder_layers

Importance = Literal["gradient", "magnitude"]
_Model = TypeVar("_Model", bound=Checkpoint)


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How many heads a layer keeps and how wide its feed-forward part stays; None: all.

    importance: "gradient", over `importance_rows` training rows, or "magnitude", the norms of the
    weights (`limbeck.forge.narrowing`).
    """

    heads: int | None = None
    ffn: int | None = None
    importance: Importance = "gradient"
    importance_rows: int = 512

    def __post_init__(self) -> None:
        for name in ("heads", "ffn"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name} must be at least 1, found {value!r}")
        if self.importance not in get_args(Importance):
            raise TrainingError(
                f"importance must be one of {', '.join(get_args(Importance))}, found "
                f"{self.importance!r}"
            )
        if self.importance_rows < 1:
            raise TrainingError(f"importance_rows must be positive, found {self.importance_rows!r}")

    @property
    def wanted(self) -> bool:
        return self.heads is not None or self.ffn is not None


@dataclass(frozen=True, eq=False)
class Worth:
    """Of one layer: heads [H] and feed-forward columns [F]."""

    heads: torch.Tensor
    ffn: torch.Tensor


def width_of(model: Any) -> Width:
    """C, H and F of a transformers encoder."""
    config = model.config
    ffn = getattr(config, "intermediate_size", None) or config.hidden_dim
    return Width(
        hidden=int(config.hidden_size), heads=int(config.num_attention_heads), ffn=int(ffn)
    )


def by_magnitude(model: Any) -> list[Worth]:
    """Worth by the norms of the weights."""
    weights, width = model.state_dict(), width_of(model)
    found = []
    for number in range(len(encoder_layers(model))):
        own = LayerMatrices(weights, str(number))
        found.append(Worth(own.head_importance(width), own.ffn_importance()))
    return found


def by_gradient(
    model: Any, rows: training.TokenisedSet, loss: training.Loss, batch_size: int, at_most: int
) -> list[Worth]:
    """Worth by |gradient of the loss with respect to a gate of 1|, mean over rows.

    The gate of head h scales its output a_h; dL / dg_h = sum of a_h * dL / da_h over a row's tokens
    and the head's dimensions. Of the feed-forward part a is what the second matrix reads.
    """
    width = width_of(model)
    layers = encoder_layers(model)
    seen: dict[tuple[int, str], torch.Tensor] = {}
    device = next(model.parameters()).device
    heads = torch.zeros(len(layers), width.heads, dtype=torch.float64, device=device)
    ffn = torch.zeros(len(layers), width.ffn, dtype=torch.float64, device=device)

    def noted(number: int, name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: Any) -> None:
            inputs[0].retain_grad()
            seen[number, name] = inputs[0]

        return hook

    was_training = model.training
    model.eval()
    order = np.random.default_rng(0).permutation(len(rows))[:at_most]
    with ExitStack() as hooks:
        for number, layer in enumerate(layers):
            for name in ("attention.output", "ffn.out"):
                hooks.enter_context(
                    part(layer, name).register_forward_pre_hook(noted(number, name))
                )
        for start in range(0, len(order), batch_size):
            indexes = order[start : start + batch_size]
            batch = training.collate(model, rows, indexes)
            # the loss is a mean over rows; a row's own gradient is what is asked for
            value = loss(training.forward(model, batch, "fp32"), indexes, batch) * len(indexes)
            training.backward(value)
            for number in range(len(layers)):
                context = _gate(seen[number, "attention.output"])  # [b, S, C]
                each = context.view(*context.shape[:2], width.heads, width.head)
                heads[number] += each.sum((1, 3)).abs().sum(0)
                ffn[number] += _gate(seen[number, "ffn.out"]).sum(1).abs().sum(0)
            model.zero_grad(set_to_none=True)
            seen.clear()
    model.train(was_training)
    worth = [Worth(one, other) for one, other in zip(heads / len(order), ffn / len(order))]
    for number, one in enumerate(worth):
        if not bool(torch.isfinite(one.heads).all() and torch.isfinite(one.ffn).all()):
            raise TrainingError(f"the gradients of layers.{number} hold NaN or infinity")
    return worth


def _gate(value: torch.Tensor) -> torch.Tensor:
    assert value.grad is not None
    return (value.detach() * value.grad).double()


def check(model: Any, structure: Structure) -> None:
    """Whether the model can be shrunk like this.

    Raises:
        InputError: it has fewer heads or columns, or the heads do not divide its width.
    """
    width = width_of(model)
    for what, asked, there in (
        ("heads", structure.heads, width.heads),
        ("feed-forward columns", structure.ffn, width.ffn),
    ):
        if asked is not None and asked > there:
            raise InputError(f"the model has {there} {what}; it cannot keep {asked}")
    if structure.heads is not None and width.hidden % structure.heads:
        fitting = [n for n in range(1, width.heads + 1) if width.hidden % n == 0]
        raise InputError(
            f"{structure.heads} heads do not divide a width of {width.hidden}; these do: "
            f"{', '.join(map(str, fitting))}"
        )


def shrink(student: _Model, structure: Structure, worth: Sequence[Worth]) -> _Model:
    """A model that keeps what is worth most. It computes what the whole one would with the gates
    of the rest at 0."""
    check(student.model, structure)
    width = width_of(student.model)
    heads, ffn = structure.heads or width.heads, structure.ffn or width.ffn
    model = _empty(student.model, heads, ffn)
    model.load_state_dict(student.model.state_dict() | _cut(student.model, worth, heads, ffn))
    model.eval()
    return replace(student, model=model)


def _empty(model: Any, heads: int, ffn: int) -> Any:
    config = copy.deepcopy(model.config)
    config.num_attention_heads = heads
    setattr(
        config, "intermediate_size" if hasattr(config, "intermediate_size") else "hidden_dim", ffn
    )
    with training.seeded(0):
        return type(model)(config)


def _cut(model: Any, worth: Sequence[Worth], heads: int, ffn: int) -> Mapping[str, torch.Tensor]:
    """The layers' matrices and biases of the smaller model, by their names in the whole one."""
    width = width_of(model)
    names = {id(value): name for name, value in model.named_parameters()}
    found: dict[str, torch.Tensor] = {}

    def put(parameter: torch.Tensor, value: torch.Tensor) -> None:
        found[names[id(parameter)]] = value.detach().clone()

    for layer, own in zip(encoder_layers(model), worth, strict=True):
        kept = largest(own.heads, heads)
        if heads < width.heads:
            scale = math.sqrt(width.heads / heads)  # scores are divided by the root of the width
            for name, factor in (("query", scale), ("key", 1.0), ("value", 1.0)):
                linear = part(layer, f"attention.{name}")
                put(linear.weight, factor * _regrouped(linear.weight, kept, width.heads))
                put(linear.bias, factor * _regrouped(linear.bias, kept, width.heads))
            linear = part(layer, "attention.output")
            put(linear.weight, _regrouped(linear.weight.T, kept, width.heads).T.contiguous())
        columns = largest(own.ffn, ffn)
        first, second = part(layer, "ffn.in"), part(layer, "ffn.out")
        put(first.weight, first.weight[columns])
        put(first.bias, first.bias[columns])
        put(second.weight, second.weight[:, columns])
    return found


def _regrouped(value: torch.Tensor, kept: torch.Tensor, heads: int) -> torch.Tensor:
    """[C, ...] rows of `heads` heads -> rows of the kept ones, each followed by zeros."""
    each = value.reshape(heads, value.shape[0] // heads, -1)[kept]
    wide = torch.zeros(len(kept), value.shape[0] // len(kept), each.shape[2], dtype=value.dtype)
    wide[:, : each.shape[1]] = each
    return wide.reshape(value.shape)

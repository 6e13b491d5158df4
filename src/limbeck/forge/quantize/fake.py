"""Fake quantisation: torch computes with the very numbers that the int8 engine computes with.

Scales, zero points and whole numbers are those of `limbeck.engine.quantization`, operation for
operation in float32; tests hold the two together. Rounding has no gradient of use: it is passed
through as if it were not there (straight-through, Bengio et al. 2013, arXiv:1308.3432), except
where a static range cuts a value off, which has none.

Not imitated: attention in 16-bit whole numbers and GELU from a table, whose errors are small beside
these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from limbeck.engine.quantization import FLAT_RANGE
from limbeck.forge.quantize.parts import linear_layers, word_table

_HALF_MAX = 65504.0
# low and high end of a layer's inputs, by the name of the range
Ranges = Mapping[str, tuple[float, float]]
Extent = tuple[torch.Tensor, torch.Tensor]


def _like(x: torch.Tensor, value: float | np.float32) -> torch.Tensor:
    """A tensor of one value: by a plain number torch may multiply where the rule says divide."""
    return torch.full_like(x, float(value))


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[F, K] -> (whole numbers [F, K], scale [F]), as floats:
    `engine.quantization.quantize_rows`."""
    largest = weight.abs().amax(dim=1)
    scale = largest / _like(largest, 127)
    scale = torch.where(scale > 0, scale, _like(scale, 1))
    return torch.round(weight / scale[:, None]).clamp(-127, 127), scale


def quantize_activations(
    x: torch.Tensor, extent: Extent | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[..., K] -> (whole numbers [..., K], scale [...], zero point [...]), all as floats:
    `engine.quantization.quantize_activations`."""
    low, high = token_extent(x) if extent is None else extent
    spread = high - low
    flat = ~(spread > float(FLAT_RANGE))
    one = _like(spread, 1)
    step = np.float32(1) / np.float32(255)
    scale = torch.where(flat, one, spread * _like(spread, step))
    inverse = torch.where(flat, one, _like(spread, 255) / torch.where(flat, one, spread))
    zero_point = torch.round(-low * inverse).clamp(0, 255)
    values = torch.round(x * inverse[..., None]) + zero_point[..., None]
    return values.clamp(0, 255), scale, zero_point


def token_extent(x: torch.Tensor) -> Extent:
    """Low and high end [...] of each token's values and zero."""
    return x.amin(dim=-1).clamp(max=0), x.amax(dim=-1).clamp(min=0)


class _Rows(torch.autograd.Function):
    """Rows, rounded; the gradient as if they were not."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        whole, scale = quantize_rows(weight)
        return whole * scale[:, None]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class _Tokens(torch.autograd.Function):
    """Activations, rounded in each token's own range."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, staged: bool) -> torch.Tensor:
        extent = None
        if staged:
            # what waits in half precision for its range, which is taken before that rounding
            x = x.clamp(-_HALF_MAX, _HALF_MAX)
            extent = token_extent(x)
            x = x.half().float()
        whole, scale, zero_point = quantize_activations(x, extent)
        return (whole - zero_point[..., None]) * scale[..., None]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


class _Within(torch.autograd.Function):
    """Activations, rounded in one range for all tokens; no gradient beyond its ends."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, low: float, high: float) -> torch.Tensor:
        ctx.save_for_backward((x >= low) & (x <= high))
        ends = (_like(x[..., 0], low), _like(x[..., 0], high))
        clipped = torch.minimum(torch.maximum(x, ends[0][..., None]), ends[1][..., None])
        whole, scale, zero_point = quantize_activations(clipped, ends)
        return (whole - zero_point[..., None]) * scale[..., None]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


def rounded_rows(weight: torch.Tensor) -> torch.Tensor:
    """[F, K] as the engine would multiply with them."""
    found: torch.Tensor = _Rows.apply(weight)  # type: ignore[no-untyped-call]
    return found


def rounded_tokens(
    x: torch.Tensor, ends: tuple[float, float] | None = None, *, staged: bool = False
) -> torch.Tensor:
    """[..., K] as the engine would read them.

    Args:
        ends: a static range; None: each token in its own.
        staged: they wait in half precision for their range, as behind the feed-forward activation.
    """
    found: torch.Tensor
    if ends is not None:
        found = _Within.apply(x, *ends)  # type: ignore[no-untyped-call]
    else:
        found = _Tokens.apply(x, staged)  # type: ignore[no-untyped-call]
    return found


class _Inputs:
    """Rounded inputs of the layers that read the same ones: queries, keys, values. Rounded once."""

    def __init__(self, ends: tuple[float, float] | None, staged: bool) -> None:
        self._ends, self._staged = ends, staged
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def of(self, x: torch.Tensor) -> torch.Tensor:
        if self._last is None or self._last[0] is not x:
            found = rounded_tokens(x.float(), self._ends, staged=self._staged)
            if not found.requires_grad:
                return found  # nothing that is kept could outlive a pass without gradients
            self._last = (x, found)
        return self._last[1]


@contextmanager
def fake_quantised(model: Any, ranges: Ranges | None = None) -> Iterator[None]:
    """While open, the encoder's linear layers and word table compute with int8's numbers.

    Weights keep their names and their float32 values; only what is computed from them changes.

    Args:
        ranges: static ranges by the names that a model's tensors have; None: each token has its
            own.
    """
    changed: list[torch.nn.Module] = []
    inputs: dict[str, _Inputs] = {}
    try:
        for name, known, layer in linear_layers(model):
            ends = None if ranges is None else ranges[known]
            staged = ranges is None and name.endswith("ffn.out")
            shared = inputs.setdefault(known, _Inputs(ends, staged))
            _set_forward(layer, _linear(layer, shared))
            changed.append(layer)
        table = word_table(model)
        _set_forward(table, _lookup(table))
        changed.append(table)
        yield
    finally:
        for module in changed:
            del module.forward  # the class's own shows again


def _set_forward(module: Any, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert "forward" not in vars(module), "fake quantisation is open already"
    module.forward = forward


def _linear(layer: torch.nn.Linear, inputs: _Inputs) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):  # bf16 has not the bits for it
            return functional.linear(inputs.of(x), rounded_rows(layer.weight), layer.bias)

    return forward


def _lookup(table: torch.nn.Embedding) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(ids: torch.Tensor) -> torch.Tensor:
        rows = functional.embedding(ids, table.weight, table.padding_idx)
        return rounded_rows(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape)

    return forward


@contextmanager
def zeros_locked(model: Any) -> Iterator[float]:
    """While open, weights of linear layers that are exactly 0 get no gradient, and stay 0.

    Yields the share of weights that are locked. An optimiser that starts afresh does not move a
    parameter without gradients, and weight decay leaves 0 alone.
    """
    handles, locked, total = [], 0, 0
    for _, _, layer in linear_layers(model):
        kept = layer.weight.detach() != 0
        total += kept.numel()
        zeros = kept.numel() - int(kept.sum())
        locked += zeros
        if zeros:
            handles.append(layer.weight.register_hook(_masked(kept)))  # type: ignore[no-untyped-call]
    try:
        yield locked / max(1, total)
    finally:
        for handle in handles:
            handle.remove()


def _masked(kept: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    def masked(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * kept.to(gradient.device)

    return masked

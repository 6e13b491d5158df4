"""Pruning at one stroke, by what each layer computes, before a step is trained.

Sums over the tokens of a sample give each layer H = X X^T [K, K] of its inputs X [K, T]. Without
some of its weights its outputs move by (W - W') X, and the squares of that sum up to
tr((W - W') H (W - W')^T): the error of Optimal Brain Compression (Frantar, Singh and Alistarh 2022,
arXiv 2208.11580, equation 1). A block at columns J is worth what its rows lose without it when all
other weights make up for it, w_J [(H^-1)_JJ]^-1 w_J^T (section 5, groups), and rows that keep the
columns S are then fitted anew: w'_S = (w H)_S (H_SS)^-1, which is exact for that mask. Both are
done in rounds, for a block's worth changes when its neighbours have gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from limbeck.errors import TrainingError
from limbeck.forge import processes, training
from limbeck.forge.first_token import first_token_alone
from limbeck.forge.prune.allocation import Blocks
from limbeck.forge.prune.layers import Layer, Pattern, gone, part, prunable, sides
from limbeck.forge.taps import encoder_layers

ROUNDS = 2
# Of the mean of H's diagonal, added to all of it: inputs that a sample hardly shows stay quiet.
DAMPING = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fit:
    """A layer, its H [K, K] with damping, and [(H^-1)_JJ]^-1 of each block of columns
    [K / c, c, c]."""

    layer: Layer
    hessian: torch.Tensor
    inner: torch.Tensor


def worth(weight: torch.Tensor, inner: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """[F, K], [K / c, c, c] -> [F / r, K / c]: what the layer's outputs lose without each block."""
    rows, cols = sides(pattern)
    each = weight.reshape(weight.shape[0], -1, cols)
    lost: torch.Tensor = torch.einsum("fjc,jcd,fjd->fj", each, inner, each)
    return lost.reshape(len(weight) // rows, rows, -1).sum(1)


def inner_of(hessian: torch.Tensor, cols: int) -> torch.Tensor:
    """[K, K] -> [K / c, c, c]: [(H^-1)_JJ]^-1 for each block of c columns."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    count = len(hessian) // cols
    blocks = inverse.reshape(count, cols, count, cols).diagonal(dim1=0, dim2=2)
    found: torch.Tensor = torch.linalg.inv(blocks.permute(2, 0, 1))
    return found


def refit(
    weight: torch.Tensor, kept: torch.Tensor, hessian: torch.Tensor, pattern: Pattern
) -> torch.Tensor:
    """The rows nearest to `weight` in what they compute that are zero outside of the mask.

    Args:
        weight: [F, K]. kept: [F / r, K / c] bool. hessian: [K, K].
    """
    rows, cols = sides(pattern)
    wanted = weight @ hessian
    found = torch.zeros_like(weight)
    columns = kept.repeat_interleave(cols, 1)
    for group in range(len(kept)):
        own = slice(group * rows, (group + 1) * rows)
        if bool(columns[group].all()):
            found[own] = weight[own]
            continue
        there = columns[group].nonzero().flatten()
        if not len(there):
            continue
        factor = torch.linalg.cholesky(hessian[there][:, there])
        found[own, there] = torch.cholesky_solve(wanted[own, there].T, factor).T
    return found


def schedule(first: int, last: int, rounds: int) -> list[int]:
    """How many blocks are gone after each round: fewer at a time towards the end, as a share of
    what is left."""
    return [
        last if at == rounds else first + round((last - first) * (1 - (1 - at / rounds) ** 2))
        for at in range(1, rounds + 1)
    ]


@torch.no_grad()
def reconstruct(
    model: Any,
    tokens: training.TokenisedSet,
    pattern: Pattern,
    sparsity: float,
    allocate: Callable[[Sequence[Blocks], float], list[int]],
    *,
    samples: int,
    batch_size: int,
    rounds: int = ROUNDS,
) -> None:
    """Take blocks out of a model, in place, until `sparsity` of all are gone.

    Blocks that are empty already stay so and count. Other weights make up for what goes.

    Args:
        allocate: layers' `Blocks`, cheapest first, and the sparsity -> a count a layer. Scores are
            shares of what the layer computes.
        samples: rows that are looked at. batch_size: at once.

    Raises:
        TrainingError: a layer whose inputs are not finite, or a target that cannot be reached.
    """
    layers = prunable(model, pattern)
    fits = [
        _fit(layer, hessian, sides(pattern)[1])
        for layer, hessian in zip(layers, hessians(model, tokens, samples, batch_size), strict=True)
    ]
    counts = allocate([_blocks(fit, pattern) for fit in fits], sparsity)
    for fit, count in zip(fits, counts, strict=True):
        _prune(fit, pattern, count, rounds)
    group = processes.current()
    if group.count > 1:  # a last digit that differs must not part the others from the first
        group.same([layer.weight for layer in layers])


def _fit(layer: Layer, hessian: torch.Tensor, cols: int) -> _Fit:
    mean = float(hessian.diagonal().mean())
    if not math.isfinite(mean):
        raise TrainingError(f"the inputs of {layer.name} hold NaN or infinity")
    damped = hessian + max(DAMPING * mean, 1e-12) * torch.eye(len(hessian), device=hessian.device)
    return _Fit(layer=layer, hessian=damped, inner=inner_of(damped, cols))


def _blocks(fit: _Fit, pattern: Pattern) -> Blocks:
    weight = fit.layer.weight
    whole = float(((weight @ fit.hessian) * weight).sum())
    scores = worth(weight, fit.inner, pattern) / max(whole, 1e-30)
    empty = gone(weight, pattern)
    ordered = scores.masked_fill(empty, -torch.inf).flatten().double().sort().values
    return Blocks(
        name=fit.layer.name,
        unit=fit.layer.unit,
        scores=ordered.cpu().numpy(),
        gone=int(empty.sum()),
    )


def _prune(fit: _Fit, pattern: Pattern, count: int, rounds: int) -> None:
    before = fit.layer.weight.clone()
    weight, empty = before, gone(before, pattern)
    first = int(empty.sum())
    for wanted in schedule(first, count, rounds) if count > first else ():
        scores = worth(weight, fit.inner, pattern).masked_fill(empty, -torch.inf).flatten()
        empty = torch.zeros_like(scores, dtype=torch.bool)
        empty[torch.argsort(scores, stable=True)[:wanted]] = True
        empty = empty.view(len(before) // sides(pattern)[0], -1)
        weight = refit(before, ~empty, fit.hessian, pattern)
    fit.layer.weight.copy_(weight)


def hessians(
    model: Any, tokens: training.TokenisedSet, samples: int, batch_size: int
) -> list[torch.Tensor]:
    """H [K, K] of each prunable layer, in their order: the mean over tokens of a sample of x x^T.

    Queries, keys and values of all layers but a last one that is read at its first token have the
    same inputs, and get the same tensor.
    """
    sums: dict[tuple[int, str], torch.Tensor] = {}
    seen: dict[tuple[int, str], int] = {}
    mask: list[torch.Tensor] = []
    was_training = model.training
    model.eval()
    order = np.random.default_rng(0).permutation(len(tokens))[:samples]
    with _tapped(model, mask, sums, seen), first_token_alone(model):
        for start in range(0, len(order), batch_size):
            batch = training.collate(model, tokens, order[start : start + batch_size])
            mask[:] = [batch["attention_mask"].bool()]
            training.forward(model, batch, "fp32")
    model.train(was_training)
    found = []
    for number in range(len(encoder_layers(model))):
        for name in _READS:
            key = (number, _READS[name])
            found.append(sums[key] / seen[key])
    return found


# Layer -> the one whose inputs are noted for it.
_READS = {
    "attention.query": "attention.query",
    "attention.key": "attention.key",
    "attention.value": "attention.key",
    "attention.output": "attention.output",
    "ffn.in": "ffn.in",
    "ffn.out": "ffn.out",
}


@contextmanager
def _tapped(
    model: Any,
    mask: Sequence[torch.Tensor],
    sums: dict[tuple[int, str], torch.Tensor],
    seen: dict[tuple[int, str], int],
) -> Iterator[None]:
    def noted(key: tuple[int, str]) -> Any:
        def hook(module: torch.nn.Module, inputs: Any) -> None:
            found = inputs[0]
            # of a layer that is read at its first token there is that token alone
            every = found.shape[1] == mask[0].shape[1]
            rows = found[mask[0].to(found.device)] if every else found.flatten(0, 1)
            rows = rows.float()
            sums[key] = sums.get(key, 0.0) + rows.T @ rows
            seen[key] = seen.get(key, 0) + len(rows)

        return hook

    with ExitStack() as hooks:
        for number, layer in enumerate(encoder_layers(model)):
            for name in dict.fromkeys(_READS.values()):
                hooks.enter_context(
                    part(layer, name).register_forward_pre_hook(noted((number, name)))
                )
        yield

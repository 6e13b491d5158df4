"""What a block is worth: the lowest scores go first.

A criterion keeps one number a block, and what it has seen of the gradients in it. Weights are the
ones beneath the mask, so that the score of a block that is masked still moves, and it can come
back before the lock. "reconstruction" keeps none: it prunes before the training, see `reconstruct`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from limbeck.forge.prune.layers import Pattern, block_sums

Criterion = Literal["magnitude", "absolute", "movement", "snip-momentum", "reconstruction"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


def squares(weight: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Sum of w**2 over each block: the order of the group lasso's norms, Wen et al. 2016 (arXiv
    1608.03665), equation 2."""
    return block_sums(weight.square(), pattern)


def absolutes(weight: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Sum of |w| over each block: Li et al. 2017 (arXiv 1608.08710), section 3.1, for filters."""
    return block_sums(weight.abs(), pattern)


def movement(
    before: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor, pattern: Pattern
) -> torch.Tensor:
    """S - w * dL/dw, summed over each block: Sanh et al. 2020 (arXiv 2005.07683), equation 3, up to
    the learning rate of the scores, which changes no order. A block whose weights move away from 0
    gains."""
    return before - block_sums(weight * gradient, pattern)


def snip_momentum(
    before: torch.Tensor,
    weight: torch.Tensor,
    gradient: torch.Tensor,
    pattern: Pattern,
    momentum: float,
) -> torch.Tensor:
    """momentum * S + |w * dL/dw|, summed over each block: SNIP's sensitivity (Lee et al. 2019,
    arXiv 1810.02340, equation 4, not normalised) over many batches, as in Intel's recipe for
    DistilBERT."""
    return momentum * before + block_sums((weight * gradient).abs(), pattern)

"""The mask, while the model trains: chosen again and again, then locked.

Until the lock the weights beneath the mask are kept as they were when it came over them (Zhu and
Gupta 2017, section 3: what is masked is not trained), while gradients reach their scores as if
there were no mask (Sanh et al. 2020, section 4). So a block can come back with the weights that it
had. From the lock on what is gone stays zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from limbeck.errors import TrainingError
from limbeck.forge import processes
from limbeck.forge.prune import allocation, criteria
from limbeck.forge.prune.allocation import Blocks
from limbeck.forge.prune.config import PruneConfig, described
from limbeck.forge.prune.layers import Layer, gone, prunable, spread

# (unit, sparsity) -> microseconds
Cost = Callable[[str, float], float]


@dataclass(eq=False)
class _State:
    """One layer under way. fixed [F, K]: weights that were zero to begin with. gone, kept, scores
    [F / r, K / c]: blocks that were empty to begin with, those that the mask leaves, and what the
    criterion knows of each. coming: the scores after the step that is under way. beneath [F, K]:
    weights without the mask; None once it is locked. holes [F, K]: where the model has zeros now.
    """

    fixed: torch.Tensor
    gone: torch.Tensor
    kept: torch.Tensor
    scores: torch.Tensor
    coming: torch.Tensor
    beneath: torch.Tensor | None
    holes: torch.Tensor


class Pruner:
    """Runs along with the training loop (`limbeck.forge.alongside`) and prunes the model.

    Raises:
        InputError: the pattern does not divide a layer.
        TrainingError: the target cannot be reached; the message says what can.
    """

    def __init__(self, model: Any, config: PruneConfig, cost: Cost | None = None) -> None:
        assert (cost is not None) == (config.allocation == "latency")
        self._config, self._cost = config, cost
        self._layers = prunable(model, config.pattern)
        self._states: list[_State] = []
        self._locked = False
        # before hours of training, not after: what is impossible does not depend on scores
        empty = [gone(layer.weight, config.pattern).flatten() for layer in self._layers]
        self.allocate(
            [
                Blocks(
                    name=layer.name,
                    unit=layer.unit,
                    scores=np.arange(len(blocks), dtype=np.float64),
                    gone=int(blocks.sum()),
                )
                for layer, blocks in zip(self._layers, empty, strict=True)
            ],
            config.sparsity,
        )

    @property
    def key(self) -> str:
        costs = None
        if self._cost is not None:
            units = sorted({layer.unit for layer in self._layers})
            costs = [[self._cost(unit, at / 8) for at in range(9)] for unit in units]
        return json.dumps([described(self._config), costs], sort_keys=True)

    def begin(self) -> None:
        self._locked = False
        self._states = []
        for layer in self._layers:
            weight = layer.weight.detach()
            empty = gone(weight, self._config.pattern)
            nothing = torch.zeros_like(empty, dtype=torch.float32)
            self._states.append(
                _State(
                    fixed=weight == 0,
                    gone=empty,
                    kept=~empty,
                    scores=nothing,
                    coming=nothing,
                    beneath=weight.clone(),
                    holes=weight == 0,
                )
            )
        if self._config.criterion == "reconstruction":  # it has chosen already
            self._lock()

    @torch.no_grad()
    def after_backward(self, step: int, share: float) -> None:
        for layer, state in self._both():
            gradient = layer.weight.grad
            if gradient is None:
                continue
            if state.beneath is not None:
                state.coming = self._noted(state.scores, state.beneath, gradient)
            gradient.masked_fill_(state.holes, 0.0)

    @torch.no_grad()
    def after_step(self, step: int, share: float) -> None:
        schedule = self._config.schedule
        for layer, state in self._both():
            if state.beneath is not None:
                # momentum and weight decay move what has no gradient, too
                torch.where(state.holes, state.beneath, layer.weight, out=state.beneath)
                state.scores = state.coming
        phase = "locked" if self._locked else schedule.phase(share)
        if phase == "locked" and not self._locked:
            self._unmask()
            self._lock()
        elif phase in ("ramp", "cooldown") and step % schedule.every == 0:
            self._unmask()
            first = self._gone_share()
            self._choose(schedule.sparsity(share, first, self._config.sparsity))
        self._apply()

    @torch.no_grad()
    def finish(self) -> None:
        if not self._locked:
            self._unmask()
            self._lock()
        # an average of weights still has something of those that went
        self._apply()

    def tensors(self) -> Mapping[str, torch.Tensor]:
        found = {"locked": torch.tensor(self._locked)}
        for layer, state in self._both():
            found[f"kept.{layer.name}"] = state.kept
            found[f"scores.{layer.name}"] = state.scores
            if state.beneath is not None:
                found[f"beneath.{layer.name}"] = state.beneath
        return found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._locked = bool(tensors["locked"])
        for layer, state in self._both():
            state.kept.copy_(tensors[f"kept.{layer.name}"])
            state.scores.copy_(tensors[f"scores.{layer.name}"])
            self._dig(state)
            if self._locked:
                state.beneath = None
            else:
                assert state.beneath is not None
                state.beneath.copy_(tensors[f"beneath.{layer.name}"])

    def sparsities(self) -> dict[str, float]:
        """Share of blocks that the mask leaves out, by layer."""
        return {
            layer.name: 1.0 - float(state.kept.double().mean()) for layer, state in self._both()
        }

    @property
    def sparsity(self) -> float:
        """Share of all blocks that the mask leaves out."""
        kept = sum(int(state.kept.sum()) for state in self._states)
        return 1.0 - kept / sum(state.kept.numel() for state in self._states)

    def _both(self) -> Sequence[tuple[Layer, _State]]:
        return list(zip(self._layers, self._states, strict=True))

    def _gone_share(self) -> float:
        empty = sum(int(state.gone.sum()) for state in self._states)
        return empty / sum(state.gone.numel() for state in self._states)

    def _noted(
        self, scores: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """The scores after another gradient."""
        pattern, momentum = self._config.pattern, self._config.momentum
        if self._config.criterion == "movement":
            return criteria.movement(scores, weight, gradient, pattern)
        if self._config.criterion == "snip-momentum":
            return criteria.snip_momentum(scores, weight, gradient, pattern, momentum)
        return scores

    def _scores(self, layer: Layer, state: _State) -> torch.Tensor:
        """[blocks] f64, those first that are empty anyway."""
        pattern = self._config.pattern
        scores = state.scores
        if self._config.criterion in ("magnitude", "absolute"):
            assert state.beneath is not None
            of = criteria.squares if self._config.criterion == "magnitude" else criteria.absolutes
            scores = of(state.beneath, pattern)
        if not bool(torch.isfinite(scores).all()):
            raise TrainingError(
                f"{layer.name} has blocks with a {self._config.criterion} that is NaN or infinite; "
                "lower the learning rate"
            )
        return scores.double().masked_fill(state.gone, -torch.inf).flatten()

    def _choose(self, sparsity: float) -> None:
        """A new mask with this share of blocks gone."""
        orders, blocks = [], []
        for layer, state in self._both():
            scores = self._scores(layer, state).cpu()
            order = torch.argsort(scores, stable=True)
            orders.append(order)
            blocks.append(
                Blocks(
                    name=layer.name,
                    unit=layer.unit,
                    scores=scores[order].numpy(),
                    gone=int(state.gone.sum()),
                )
            )
        counts = self.allocate(blocks, sparsity)
        for state, order, count in zip(self._states, orders, counts, strict=True):
            kept = torch.ones(len(order), dtype=torch.bool)
            kept[order[:count]] = False
            state.kept = self._firsts(kept.view_as(state.gone).to(state.gone.device))
            self._dig(state)

    def _firsts(self, kept: torch.Tensor) -> torch.Tensor:
        """The first process's mask: a last digit that differs must not part the others from it."""
        group = processes.current()
        if group.count == 1:
            return kept
        numbers = kept.to(torch.uint8)
        group.same([numbers])
        return numbers.bool()

    def allocate(self, blocks: Sequence[Blocks], sparsity: float) -> list[int]:
        """Blocks of each layer, cheapest first -> how many of each go."""
        config, cap = self._config, self._config.cap
        target = allocation.target_of(blocks, sparsity)
        if config.allocation == "global":
            return allocation.globally(blocks, target, cap)
        last = allocation.target_of(blocks, config.sparsity)
        if config.allocation == "uniform":
            counts = allocation.uniform(blocks, last, cap)
        else:
            assert self._cost is not None
            counts = allocation.by_latency(blocks, last, cap, self._cost)
        # on the way there: which layers pay is a matter of where they end
        return counts if target == last else allocation.thinned(blocks, counts, target)

    def _dig(self, state: _State) -> None:
        state.holes = ~spread(state.kept, self._config.pattern) | state.fixed

    def _unmask(self) -> None:
        """What the last mask hid and the next one does not comes back as it was."""
        for layer, state in self._both():
            assert state.beneath is not None
            layer.weight.copy_(torch.where(state.holes, state.beneath, layer.weight))

    def _apply(self) -> None:
        for layer, state in self._both():
            layer.weight.masked_fill_(state.holes, 0.0)

    def _lock(self) -> None:
        self._choose(self._config.sparsity)
        self._locked = True
        for state in self._states:
            state.beneath = None

"""The one training loop, for teachers and students: AdamW, warm-up and linear decay.

In: a model, token ids and a loss; what the targets are is the caller's affair. It can be killed
and go on (`saves`), and several processes can share its batches (`processes`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import TrainingError
from limbeck.forge import processes, progress, training
from limbeck.forge import saves as saving
from limbeck.forge.alongside import Alongside
from limbeck.forge.averaging import WeightAverage
from limbeck.forge.first_token import first_token_alone
from limbeck.forge.saves import Saves, State
from limbeck.forge.training import ChosenPrecision, TokenisedSet, TrainingConfig, TrainingReport

# Before the names of what runs along, in the state that is kept.
_ALONG = "alongside."


def run(
    model: Any,
    rows: TokenisedSet,
    loss: training.Loss,
    config: TrainingConfig,
    description: str,
    *,
    extra: torch.nn.Module | None = None,
    tapped: bool = False,
    saves: Saves | None = None,
    alongside: Alongside | None = None,
) -> TrainingReport:
    """Train the model in place, on a GPU where there is one; it comes back to where it was.

    In a group of processes (`limbeck.forge.processes`) each computes its share of every batch and
    all take the same steps; the loss should be a mean over rows.

    Args:
        extra: parameters of the loss itself that are trained along and thrown away afterwards.
        tapped: the loss looks inside the last layer, so that all of it must be computed.
        saves: where the state is kept every now and then. A run that finds its state there goes on
            from it and ends with the bits of one that was never interrupted: on a CPU, for the same
            number of threads, and without max_seconds.
        alongside: called around every step, such as pruning.

    Raises:
        TrainingError: no rows; a loss or gradient that is not finite, in which case the model (and
            the state kept) is that of the last good step and the message names the rows of the
            batch; a state that cannot be kept, or belongs to another run.
    """
    if len(rows) == 0:
        raise TrainingError(f"{description}: there is nothing to train on")
    was_training, home = model.training, next(model.parameters()).device
    words = model.get_input_embeddings().weight
    device = training.compute_device()
    model.to(device)
    if extra is not None:
        extra.to(device)
    words.requires_grad_(not config.freeze_embeddings)
    model.train()
    try:
        loop = _Loop(model, rows, loss, config, description, extra, saves, alongside)
        return loop.run(tapped)
    finally:
        model.train(was_training)
        model.to(home)
        words.requires_grad_(True)


def rate_at(progress_share: float, warmup_share: float) -> float:
    """Factor on the learning rate: up linearly through the warm-up, then down linearly to 0."""
    if progress_share < warmup_share:
        return progress_share / warmup_share
    return max(0.0, (1.0 - progress_share) / (1.0 - warmup_share))


class _Loop:
    """One run: what it works with, and how far it has come."""

    def __init__(
        self,
        model: Any,
        rows: TokenisedSet,
        loss: training.Loss,
        config: TrainingConfig,
        description: str,
        extra: torch.nn.Module | None,
        saves: Saves | None,
        alongside: Alongside | None,
    ) -> None:
        self.model, self.rows, self.loss, self.config = model, rows, loss, config
        self.description, self.extra, self.saves = description, extra, saves
        self.alongside = alongside
        self.group = processes.current()
        self.started = time.perf_counter()
        self.seconds_before = 0.0
        self.planned = max(1, round(config.epochs * math.ceil(len(rows) / config.batch_size)))
        self.group.same([*self._parameters().values()])
        kept = None
        if saves is not None:
            self.key = self._key()
            kept = self._kept(saves)
        self.precision = self._precision(kept)
        self.optimiser = torch.optim.AdamW(
            training.parameter_groups(model, config.weight_decay, extra),
            lr=config.learning_rate,
            fused=True,
        )
        self.trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.average = None
        if config.average_decay is not None:
            self.average = WeightAverage(model, config.average_decay)
        if alongside is not None:
            alongside.begin()
        self.generator = np.random.default_rng(config.seed)
        self.losses: list[float] = []
        self.epoch = self.done_in_epoch = self.rows_seen = self.tokens_seen = 0
        self.before_epoch: Mapping[str, Any] = {}
        self.batches: Iterator[npt.NDArray[np.int64]] = iter(())
        self.found = kept

    def run(self, tapped: bool) -> TrainingReport:
        with (
            training.seeded(self.config.seed + self.group.rank),
            nullcontext() if tapped else first_token_alone(self.model),
            progress.bar(self.description, self.planned) as shown,
        ):
            if self.found is not None:
                self._restore(self.found)
                shown.advance(len(self.losses))
            kept_at = time.perf_counter()
            while len(self.losses) < self.planned and (share := self._share_done()) < 1.0:
                self._step(share)
                shown.advance(1, note=f"loss {np.mean(self.losses[-50:]):.4f}")
                if self.saves is not None:
                    due = time.perf_counter() - kept_at >= self.saves.every_s
                    last = len(self.losses) == self.planned
                    if self.group.first_says(float(due or last)):
                        self._save(self.saves, torch.get_rng_state())
                        kept_at = time.perf_counter()
        if self.average is not None:
            self.average.apply()
        if self.alongside is not None:
            self.alongside.finish()
        tenth = max(1, len(self.losses) // 10)
        return TrainingReport(
            steps=len(self.losses),
            planned_steps=self.planned,
            rows_seen=self.rows_seen,
            tokens_seen=self.tokens_seen,
            seconds=self._seconds(),
            precision=self.precision,
            first_loss=float(np.mean(self.losses[:tenth])),
            last_loss=float(np.mean(self.losses[-tenth:])),
            losses=_thinned(self.losses),
            stopped_by="steps" if len(self.losses) >= self.planned else "seconds",
        )

    def _step(self, share: float) -> None:
        indexes = self._next_batch()
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rate_at(share, self.config.warmup_share)
        random = torch.get_rng_state()
        own = self.group.share(indexes)
        value = torch.zeros((), device=self.trained[0].device)
        if len(own):
            batch = training.collate(self.model, self.rows, own)
            value = self.loss(training.forward(self.model, batch, self.precision), own, batch)
            if self.group.count > 1:
                value = value * (len(own) / len(indexes))
            training.backward(value)
        value = self.group.total(value.detach())
        self.group.add_gradients(self.trained)
        if self.alongside is not None:
            self.alongside.after_backward(len(self.losses), share)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.config.max_gradient_norm)
        if not (math.isfinite(value.item()) and math.isfinite(norm.item())):
            self._give_up(indexes, value.item(), norm.item(), random)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.alongside is not None:
            self.alongside.after_step(len(self.losses), share)
        if self.average is not None:
            self.average.update()
        self.losses.append(value.item())
        self.done_in_epoch += 1
        self.rows_seen += len(indexes)
        self.tokens_seen += int(self.rows.lengths[indexes].sum())

    def _next_batch(self) -> npt.NDArray[np.int64]:
        indexes = next(self.batches, None)
        if indexes is not None:
            return indexes
        self.epoch, self.done_in_epoch = self.epoch + 1, 0
        self.before_epoch = self.generator.bit_generator.state
        self.batches = training.bucketed_batches(
            self.rows.lengths, self.config.batch_size, self.generator
        )
        return next(self.batches)

    def _give_up(
        self, indexes: npt.NDArray[np.int64], value: float, norm: float, random: torch.Tensor
    ) -> None:
        """Leave the last good state behind and say which rows ended the run."""
        self.optimiser.zero_grad(set_to_none=True)
        owners = np.arange(len(self.rows)) if self.rows.rows is None else self.rows.rows
        kept = ""
        if self.saves is not None:
            self._save(self.saves, random)
            kept = f"; the state before it is kept in {self.saves.directory}"
        raise TrainingError(
            f"{self.description}: loss {value} and gradient norm {norm} at step "
            f"{len(self.losses) + 1} of {self.planned} (epoch {self.epoch}), on the batch of rows "
            f"{sorted({int(row) for row in owners[indexes]})}; look at these rows, or lower the "
            f"learning rate ({self.config.learning_rate:g}){kept}"
        )

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _share_done(self) -> float:
        # the middle of the coming step, so that neither the first nor the last one is wasted
        by_steps = (len(self.losses) + 0.5) / self.planned
        if self.config.max_seconds is None:
            return by_steps
        return self.group.first_says(max(by_steps, self._seconds() / self.config.max_seconds))

    def _precision(self, kept: State | None) -> ChosenPrecision:
        if kept is not None:
            chosen: ChosenPrecision = kept.record["precision"]
            return chosen
        if self.config.precision != "auto":
            return self.config.precision
        config = self.config
        probe = training.probe_precision(self.model, self.rows, config.batch_size, seed=config.seed)
        return "bf16" if self.group.first_says(float(probe.chosen == "bf16")) else "fp32"

    def _parameters(self) -> dict[str, torch.Tensor]:
        """Everything with a value, by name: the model's, and what the loss trains along."""
        found = {f"model.{name}": value for name, value in self.model.named_parameters()}
        found |= {f"buffer.{name}": value for name, value in self.model.named_buffers()}
        if self.extra is not None:
            found |= {f"extra.{name}": value for name, value in self.extra.named_parameters()}
        return found

    def _key(self) -> str:
        """SHA-256 over what decides the outcome: start, rows, configuration, processes."""
        settings = asdict(self.config) | {"max_seconds": None}
        hasher = hashlib.sha256()
        said = [self.description, settings, self.planned, self.group.count, torch.__version__]
        said += [] if self.alongside is None else [self.alongside.key]
        hasher.update(json.dumps(said, sort_keys=True).encode())
        for row, types in zip(self.rows.ids, self.rows.type_ids, strict=True):
            hasher.update(np.array([len(row), *row, *types], dtype=np.int32).data)
        for name, value in self._parameters().items():
            hasher.update(name.encode())
            hasher.update(value.detach().cpu().contiguous().numpy().data)
        return hasher.hexdigest()

    def _kept(self, saves: Saves) -> State | None:
        state = saving.read(saves)
        if state is None:
            return None
        if state.record["key"] != self.key:
            raise TrainingError(
                f"{saves.file} is of another run (other weights, rows or settings); delete it, or "
                "keep this run's state in another directory"
            )
        if state.record["threads"] != torch.get_num_threads():
            raise TrainingError(
                f"{saves.file} was computed with {state.record['threads']} threads and this "
                f"process has {torch.get_num_threads()}; the same bits need the same number "
                "(torch.set_num_threads)"
            )
        return state

    def _save(self, saves: Saves, random: torch.Tensor) -> None:
        randoms = self.group.everyones(random)
        if not self.group.is_first:
            return
        tensors = self._parameters()
        if self.average is not None:
            tensors |= self.average.tensors()
        if self.alongside is not None:
            along = self.alongside.tensors()
            tensors |= {f"{_ALONG}{name}": value for name, value in along.items()}
        tensors |= saving.optimiser_tensors(self.optimiser, self.trained)
        tensors |= {f"random.{rank}": value for rank, value in enumerate(randoms)}
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        record = {
            "key": self.key,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "epoch": self.epoch,
            "done_in_epoch": self.done_in_epoch,
            "before_epoch": self.before_epoch,
            "rows_seen": self.rows_seen,
            "tokens_seen": self.tokens_seen,
            "seconds": self._seconds(),
        }
        saving.write(saves, State(tensors=tensors, record=record))

    def _restore(self, state: State) -> None:
        with torch.no_grad():
            for name, value in self._parameters().items():
                value.copy_(state.tensors[name])
        saving.restore_optimiser(self.optimiser, self.trained, state.tensors)
        self.losses = state.tensors["losses"].tolist()
        if self.average is not None:
            self.average.restore(state.tensors, len(self.losses))
        if self.alongside is not None:
            along = {
                name: value for name, value in state.tensors.items() if name.startswith(_ALONG)
            }
            self.alongside.restore(
                {name.removeprefix(_ALONG): value for name, value in along.items()}
            )
        record = state.record
        self.epoch, self.done_in_epoch = record["epoch"], record["done_in_epoch"]
        self.rows_seen, self.tokens_seen = record["rows_seen"], record["tokens_seen"]
        self.seconds_before, self.before_epoch = record["seconds"], record["before_epoch"]
        self.generator.bit_generator.state = self.before_epoch
        batches = training.bucketed_batches(
            self.rows.lengths, self.config.batch_size, self.generator
        )
        self.batches = itertools.islice(batches, self.done_in_epoch, None)
        torch.set_rng_state(state.tensors[f"random.{self.group.rank}"])


def _thinned(losses: list[float], points: int = 200) -> tuple[float, ...]:
    """Means of equal stretches of steps, for a curve: no more than so many."""
    stretches = np.array_split(np.array(losses), min(points, len(losses))) if losses else []
    return tuple(float(part.mean()) for part in stretches)

"""One training loop for teachers and students: AdamW, warm-up and linear decay, length buckets.

The loop sees token ids, a model and a loss; what the targets are is the caller's affair.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import TrainingError
from limbeck.forge import heads, progress
from limbeck.forge.answers import TOKEN_TASKS
from limbeck.forge.rows import Rows
from limbeck.forge.tokenised import TokenisedSet as TokenisedSet
from limbeck.text import Tokenizer

Precision = Literal["auto", "fp32", "bf16"]
ChosenPrecision = Literal["fp32", "bf16"]
Batch = dict[str, torch.Tensor]
# answers f32 (`forward`), the windows of the set that they answer, and what the model read -> a
# scalar loss
Loss = Callable[[torch.Tensor, npt.NDArray[np.int64], Batch], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    max_seconds bounds the wall time: the learning rate then decays with whichever of steps and
    seconds is further on, so that a slow machine trains less and still ends its schedule. Without
    it a seed gives the same weights again on the same machine. dropout None: as the encoder's own
    configuration says. freeze_embeddings leaves the word table as it is: half of a small encoder's
    parameters need no optimiser then, and words that the training texts lack keep their
    neighbours. average_decay: the run ends with a moving average of its weights instead of the last
    ones; 0.995 looks back over some 200 steps. balance_classes: in the loss on labels, rare classes
    count for more, so that all classes weigh the same together.
    """

    epochs: float = 3.0
    batch_size: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_share: float = 0.06
    max_gradient_norm: float = 1.0
    max_tokens: int = 128
    seed: int = 0
    precision: Precision = "auto"
    max_seconds: float | None = None
    dropout: float | None = None
    freeze_embeddings: bool = False
    average_decay: float | None = None
    balance_classes: bool = False

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "learning_rate", "max_gradient_norm", "max_tokens")
        for name in positive:
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} must be positive, found {getattr(self, name)!r}")
        if not 0 <= self.warmup_share < 1:
            raise TrainingError(f"warmup_share must be in [0, 1), found {self.warmup_share!r}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise TrainingError(f"dropout must be in [0, 1), found {self.dropout!r}")
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise TrainingError(f"average_decay must be in (0, 1), found {self.average_decay!r}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise TrainingError(f"precision {self.precision!r} is not auto, fp32 or bf16")
        if self.max_seconds is not None and self.max_seconds <= 0:
            raise TrainingError(f"max_seconds must be positive, found {self.max_seconds!r}")


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What a run did. Losses are means over its first and last tenth of steps."""

    steps: int
    planned_steps: int
    rows_seen: int
    tokens_seen: int
    seconds: float
    precision: ChosenPrecision
    first_loss: float
    last_loss: float
    stopped_by: Literal["steps", "seconds"]

    @property
    def steps_per_second(self) -> float:
        return self.steps / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return self.tokens_seen / self.seconds

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tokenise(tokenizer: Tokenizer, rows: Rows, max_tokens: int) -> TokenisedSet:
    """Token ids by the tokenizer that inference uses, so that both see the same input."""
    return rows.tokenised(tokenizer, max_tokens)


def collate(
    model: Any, rows: TokenisedSet, indexes: Sequence[int] | npt.NDArray[np.int64]
) -> Batch:
    """Pad these windows to their longest: keyword arguments for a transformers model.

    Partners of the windows, if any, come behind them.
    """
    sequences = rows.sequences(indexes)
    shape = (len(sequences), max(len(rows.ids[index]) for index in sequences))
    ids = torch.full(shape, int(model.config.pad_token_id or 0), dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    types = torch.zeros(shape, dtype=torch.long)
    for place, index in enumerate(sequences):
        length = len(rows.ids[index])
        ids[place, :length] = torch.tensor(rows.ids[index])
        types[place, :length] = torch.tensor(rows.type_ids[index])
        mask[place, :length] = 1
    batch = {"input_ids": ids, "attention_mask": mask}
    if takes_types(model):
        batch["token_type_ids"] = types
    return batch


def takes_types(model: Any) -> bool:
    """Whether the model has a token-type table with something in it (RoBERTa's has one row)."""
    accepts = "token_type_ids" in inspect.signature(model.forward).parameters
    return accepts and int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


def bucketed_batches(
    lengths: npt.NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """One epoch of batches of rows of like length, in random order.

    Rows are shuffled, cut into pools of 50 batches, sorted by length within a pool and cut again:
    little padding, and yet no two epochs alike.
    """
    order = generator.permutation(len(lengths))
    pool = 50 * batch_size
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        chunk = order[start : start + pool]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[at : at + batch_size] for at in range(0, len(chunk), batch_size)]
    for index in generator.permutation(len(batches)):
        yield batches[index]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` inside the block and leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True, kw_only=True)
class PrecisionProbe:
    """Seconds of one forward and backward pass in each precision, and the faster of the two."""

    fp32_s: float
    bf16_s: float
    chosen: ChosenPrecision


def probe_precision(
    model: Any,
    rows: TokenisedSet,
    batch_size: int,
    *,
    rounds: int = 3,
    seconds: float = 8.0,
    seed: int = 0,
) -> PrecisionProbe:
    """Time both precisions, interleaved, on one typical batch; the weights stay as they are.

    bf16 is chosen only where it is at least a tenth faster: CPUs without bf16 dot products emulate
    it slowly. After `seconds` no further round begins.
    """
    order = np.argsort(rows.lengths, kind="stable")
    middle = max(0, len(order) // 2 - batch_size // 2)
    batch = collate(model, rows, order[middle : middle + batch_size])
    taken: dict[ChosenPrecision, list[float]] = {"fp32": [], "bf16": []}
    was_training = model.training
    model.train()
    began = time.perf_counter()
    with seeded(seed):
        for turn in range(rounds + 1):
            if turn > 1 and time.perf_counter() - began > seconds:
                break
            for precision in taken:
                start = time.perf_counter()
                backward(forward(model, batch, precision).square().mean())
                taken[precision].append(time.perf_counter() - start)
                model.zero_grad(set_to_none=True)
    model.train(was_training)
    # the first round pays for memory and kernel selection
    fp32_s, bf16_s = (float(np.median(times[1:])) for times in taken.values())
    return PrecisionProbe(
        fp32_s=fp32_s, bf16_s=bf16_s, chosen="bf16" if bf16_s < 0.9 * fp32_s else "fp32"
    )


def forward(model: Any, batch: Batch, precision: ChosenPrecision) -> torch.Tensor:
    """Answers in float32, as `heads.answers` lays them out."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        found = heads.answers(model, model(**batch), batch)
    return found.float()


def backward(loss: torch.Tensor) -> None:
    """Gradients of a scalar loss."""
    loss.backward()  # type: ignore[no-untyped-call]


def predict(
    model: Any,
    rows: TokenisedSet,
    *,
    precision: ChosenPrecision = "fp32",
    batch_tokens: int = 4096,
    description: str = "scoring",
) -> npt.NDArray[np.float32]:
    """Answers to every row, in the given order; batches hold rows of like length.

    Logits [N, L]; vectors of all sequences [M, C], partners behind; logits of all tokens, laid end
    to end, [T, L].
    """
    order = np.argsort(-rows.lengths, kind="stable")
    by_token = heads.task_of(model) in TOKEN_TASKS
    height = int(rows.offsets[-1]) if by_token else len(rows.ids)
    found = np.zeros((height, heads.width(model)), dtype=np.float32)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), progress.bar(description, len(rows)) as shown:
        start = 0
        while start < len(order):
            # the first row is the longest of those left, so it sets the padded width
            count = max(1, batch_tokens // int(rows.lengths[order[start]]))
            indexes = order[start : start + count]
            some = forward(model, collate(model, rows, indexes), precision).numpy()
            if by_token:
                for index, one in zip(indexes, some, strict=True):
                    begin, end = rows.offsets[index], rows.offsets[index + 1]
                    found[begin:end] = one[: end - begin]
            else:
                found[rows.sequences(indexes)] = some
            start += count
            shown.advance(len(indexes))
    model.train(was_training)
    return found


def parameter_groups(
    model: Any, weight_decay: float, extra: torch.nn.Module | None = None
) -> list[dict[str, Any]]:
    """Biases and layer norms are vectors and are not decayed; matrices are."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    parameters += [] if extra is None else list(extra.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


class WeightAverage:
    """An exponential moving average of a model's trained parameters.

    Polyak and Juditsky 1992; the decay grows with the number of steps, (1 + t) / (10 + t) up to
    its value, so that a short run is not averaged with its beginning. Every fourth step is taken:
    the weights hardly move between them, and the average costs as much as the optimiser.
    """

    EVERY = 4

    def __init__(self, model: Any, decay: float) -> None:
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._trained]
        self._decay = decay
        self._steps = 0

    def update(self) -> None:
        """Note the weights after another step of the optimiser."""
        self._steps += 1
        if self._steps % self.EVERY:
            return
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps)) ** self.EVERY
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._trained, 1 - decay)

    def apply(self) -> None:
        """Give the model the average; one that never came to its first step keeps its weights."""
        if self._steps < self.EVERY:
            return
        with torch.no_grad():
            torch._foreach_copy_(self._trained, self._average)


def rate_at(progress_share: float, warmup_share: float) -> float:
    """Factor on the learning rate: up linearly through the warm-up, then down linearly to 0."""
    if progress_share < warmup_share:
        return progress_share / warmup_share
    return max(0.0, (1.0 - progress_share) / (1.0 - warmup_share))


def run(
    model: Any,
    rows: TokenisedSet,
    loss: Loss,
    config: TrainingConfig,
    description: str,
    *,
    extra: torch.nn.Module | None = None,
) -> TrainingReport:
    """Train the model in place.

    Args:
        extra: parameters of the loss itself that are trained along and thrown away afterwards.

    Raises:
        TrainingError: no rows, or a loss or gradient that is not finite; the message names the
            step and the rows of the batch.
    """
    if len(rows) == 0:
        raise TrainingError(f"{description}: there is nothing to train on")
    per_epoch = math.ceil(len(rows) / config.batch_size)
    planned = max(1, round(config.epochs * per_epoch))
    started = time.perf_counter()
    if config.precision == "auto":
        precision = probe_precision(model, rows, config.batch_size, seed=config.seed).chosen
    else:
        precision = config.precision
    words = model.get_input_embeddings().weight
    words.requires_grad_(not config.freeze_embeddings)
    optimiser = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay, extra), lr=config.learning_rate, fused=True
    )
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    average = None
    if config.average_decay is not None:
        average = WeightAverage(model, config.average_decay)
    generator = np.random.default_rng(config.seed)
    losses: list[float] = []
    rows_seen = tokens_seen = 0
    was_training = model.training
    model.train()

    def share_done() -> float:
        # the middle of the coming step, so that neither the first nor the last one is wasted
        by_steps = (len(losses) + 0.5) / planned
        if config.max_seconds is None:
            return by_steps
        return max(by_steps, (time.perf_counter() - started) / config.max_seconds)

    with seeded(config.seed), progress.bar(description, planned) as shown:
        epoch = 0
        batches: Iterator[npt.NDArray[np.int64]] = iter(())
        while len(losses) < planned and (share := share_done()) < 1.0:
            indexes = next(batches, None)
            if indexes is None:
                epoch += 1
                batches = bucketed_batches(rows.lengths, config.batch_size, generator)
                indexes = next(batches)
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * rate_at(share, config.warmup_share)
            batch = collate(model, rows, indexes)
            value = loss(forward(model, batch, precision), indexes, batch)
            backward(value)
            norm = torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
            if not (math.isfinite(value.item()) and math.isfinite(norm.item())):
                raise TrainingError(
                    f"{description}: loss {value.item()} and gradient norm {norm.item()} at step "
                    f"{len(losses) + 1} of {planned} (epoch {epoch}), on the batch of rows "
                    f"{sorted(int(index) for index in indexes)}; look at these rows, or lower the "
                    f"learning rate ({config.learning_rate:g})"
                )
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if average is not None:
                average.update()
            losses.append(value.item())
            rows_seen += len(indexes)
            tokens_seen += int(rows.lengths[indexes].sum())
            shown.advance(1, note=f"loss {np.mean(losses[-50:]):.4f}")
    if average is not None:
        average.apply()
    model.train(was_training)
    words.requires_grad_(True)
    tenth = max(1, len(losses) // 10)
    return TrainingReport(
        steps=len(losses),
        planned_steps=planned,
        rows_seen=rows_seen,
        tokens_seen=tokens_seen,
        seconds=time.perf_counter() - started,
        precision=precision,
        first_loss=float(np.mean(losses[:tenth])),
        last_loss=float(np.mean(losses[-tenth:])),
        stopped_by="steps" if len(losses) >= planned else "seconds",
    )

"""What training is made of: its settings and report, batches of like length, passes, precision.

`limbeck.forge.loop` puts them together.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import TrainingError
from limbeck.forge import heads, progress
from limbeck.forge.answers import TOKEN_TASKS
from limbeck.forge.first_token import first_token_alone
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
    """What a run did.

    first_loss, last_loss: means over its first and last tenth of steps. losses: a curve of at most
    200 points, each the mean of equally many steps.
    """

    steps: int
    planned_steps: int
    rows_seen: int
    tokens_seen: int
    seconds: float
    precision: ChosenPrecision
    first_loss: float
    last_loss: float
    losses: tuple[float, ...] = field(repr=False)
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
    """Pad these windows to their longest, or a little more: arguments for a transformers model.

    Partners of the windows, if any, come behind them.
    """
    sequences = rows.sequences(indexes)
    longest = max(len(rows.ids[index]) for index in sequences)
    shape = (len(sequences), padded_length(longest, rows.longest))
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


def padded_length(tokens: int, longest: int) -> int:
    """The width that a batch of at most so many tokens a row is padded to, at most `longest`.

    torch keeps code and memory for every shape of batch that it has seen, some 10 MB each for an
    encoder of 22 M parameters. Widths in steps of an eighth of the power of two below them are
    few, and add some 3 % of padding.
    """
    step = 1 << max(0, tokens.bit_length() - 4)
    return min(longest, -(-tokens // step) * step)


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
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
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
    with seeded(seed), first_token_alone(model):
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


def compute_device() -> torch.device:
    """Where to train: on a GPU if torch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward(model: Any, batch: Batch, precision: ChosenPrecision) -> torch.Tensor:
    """Answers in float32, as `heads.answers` lays them out, where the model is."""
    device = next(model.parameters()).device
    there = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        found = heads.answers(model, model(**there), there)
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
    with (
        torch.inference_mode(),
        first_token_alone(model),
        progress.bar(description, len(rows)) as shown,
    ):
        start = 0
        while start < len(order):
            # the first row is the longest of those left, so it sets the padded width
            count = max(1, batch_tokens // int(rows.lengths[order[start]]))
            indexes = order[start : start + count]
            some = forward(model, collate(model, rows, indexes), precision).cpu().numpy()
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

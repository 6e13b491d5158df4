"""A set of entries in their processes: answers compared, speeds set against the fastest peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from limbeck import measure
from limbeck.bench import models
from limbeck.bench.contestants import REFERENCE
from limbeck.bench.engine import MAX_FP32_ERROR, MAX_INT8_ERROR_RATIO, relative_error
from limbeck.bench.entries import Entry, write_paths
from limbeck.bench.protocol import F32, Output
from limbeck.bench.worker import Worker
from limbeck.bench.workloads import ERRORS
from limbeck.errors import EngineError

# Whose int8 error ours is held against.
_INT8_JUDGE = "onnxruntime int8"
# A peer this far off computes another model. Hidden states alone count here: static scales
# cost a peer much on the logits of a random head, and that is its own affair.
_MAX_PEER_ERROR = {"fp32": 1e-3, "bf16": 0.2, "int8": 0.5}
# Rows of unequal length, so that a peer's padding is compared as well.
_RAGGED = (48, 3, 31, 17, 40, 9, 26, 12) * 2

OUTPUTS: tuple[Output, ...] = ("logits", "hidden")


@dataclass(frozen=True, kw_only=True)
class Running:
    """An entry's process, and its relative errors against torch fp32 on the same variant."""

    entry: Entry
    worker: Worker
    error_logits: float
    error_hidden: float
    error_ragged: float

    @property
    def errors(self) -> dict[str, float]:
        return {
            "error_logits": self.error_logits,
            "error_hidden": self.error_hidden,
            "error_ragged": self.error_ragged,
        }


def ragged_ids(vocab: int) -> list[list[int]]:
    rows = models.token_ids(len(_RAGGED), max(_RAGGED), vocab=vocab)
    return [row[:length] for row, length in zip(rows, _RAGGED, strict=True)]


def _answers(worker: Worker, vocab: int) -> list[F32]:
    """Logits and hidden states of rows of one length; hidden states of ragged rows."""
    equal = [worker.answer(ERRORS, output, vocab=vocab) for output in OUTPUTS]
    return [*equal, worker.answer_ids(ragged_ids(vocab), "hidden")]


def check(entry: Entry, found: Sequence[float], judge: Sequence[float]) -> None:
    """Stop before timing when somebody does not compute the model.

    found, judge: errors of logits, hidden states and ragged hidden states; the judge's are
    those of ONNX Runtime's dynamic int8 on the same variant.

    Raises:
        EngineError: ours is over MAX_INT8_ERROR_RATIO times the judge's, or over MAX_FP32_ERROR; or
            a peer's is so large that it must be another model.
    """
    if not entry.ours:
        bounds = [float("inf"), *[_MAX_PEER_ERROR[entry.contestant.precision]] * 2]
    elif entry.contestant.precision == "fp32":
        bounds = [MAX_FP32_ERROR] * 3
    else:
        bounds = [value * MAX_INT8_ERROR_RATIO for value in judge]
    names = ("logits", "hidden states", "hidden states of rows of unequal length")
    for name, value, bound in zip(names, found, bounds, strict=True):
        if not value <= bound:
            raise EngineError(
                f"{entry.subject}: relative error of {name} {value:.3g} is over {bound:.3g}; "
                "nothing was timed"
            )


@contextmanager
def running(
    wanted: Sequence[Entry], shape: models.Shape, *, threads: int, cache: Path
) -> Iterator[list[Running]]:
    """All entries loaded, their answers compared; prints the errors.

    A peer that cannot be loaded is said and left out.

    Raises:
        EngineError: limbeck cannot be loaded, or an answer is wrong.
        MissingExtraError: torch, transformers, onnx or onnxruntime is not installed.
    """
    with ExitStack() as stack:
        started: list[Running] = []
        for pattern in dict.fromkeys(entry.pattern for entry in wanted):
            paths = write_paths(cache, shape, pattern)
            with Worker(REFERENCE, paths, threads=threads) as reference:
                right = _answers(reference, shape.vocab)

            def errors(worker: Worker, right: Sequence[F32] = right) -> list[float]:
                given = _answers(worker, shape.vocab)
                return [relative_error(*pair) for pair in zip(given, right, strict=True)]

            with Worker(_INT8_JUDGE, paths, threads=threads) as worker:
                judge = errors(worker)
            for entry in (entry for entry in wanted if entry.pattern == pattern):
                try:
                    worker = stack.enter_context(
                        Worker(entry.contestant.name, paths, threads=threads)
                    )
                    found = errors(worker)
                except EngineError as error:
                    if entry.ours:
                        raise
                    print(f"  left out: {error}", flush=True)
                    continue
                worker.forget()
                print(
                    f"  {threads} threads, {entry.subject:24}: relative error of logits "
                    f"{found[0]:.2e}, hidden states {found[1]:.2e}, ragged {found[2]:.2e}",
                    flush=True,
                )
                check(entry, found, judge)
                started.append(
                    Running(
                        entry=entry,
                        worker=worker,
                        error_logits=found[0],
                        error_hidden=found[1],
                        error_ragged=found[2],
                    )
                )
        yield started


def speeds(
    entry: Entry, wanted: Sequence[Entry], timings: Mapping[str, measure.Timing]
) -> dict[str, str | float]:
    """How many times faster ours is: than the fastest dense peer of its precision, and, where it
    is int8, than the sparse peer. Paired by round; empty for a peer.
    """
    if not entry.ours:
        return {}
    mine = timings[entry.subject]
    same = [
        each
        for each in wanted
        if each.subject in timings
        and not each.ours
        and each.contestant.precision == entry.contestant.precision
    ]
    found: dict[str, str | float] = {}
    for prefix, group in (
        ("", [each for each in same if each.dense_peer]),
        ("sparse_", [each for each in same if not each.dense_peer]),
    ):
        if not group:
            continue
        rival = min(group, key=lambda each: timings[each.subject].median_ms).subject
        speed = measure.ratio(timings[rival], mine)
        found |= {
            f"{prefix}rival": rival,
            f"{prefix}rival_ms": timings[rival].median_ms,
            f"{prefix}speed": speed.median,
            f"{prefix}speed_low": speed.low,
            f"{prefix}speed_high": speed.high,
        }
    return found


def rows(
    everybody: Sequence[Running],
    timings: Mapping[str, measure.Timing],
    *,
    others_busy: float,
    extra: Mapping[str, Mapping[str, str | int | float]] | None = None,
    **fields: object,
) -> list[measure.Row]:
    """One row an entry, with errors, ratios and what `extra` has for its subject."""
    wanted = [each.entry for each in everybody]
    made = []
    for each in everybody:
        subject = each.entry.subject
        facts = dict(each.worker.facts)
        made.append(
            measure.Row.timed(
                timings[subject],
                subject=subject,
                isa=facts.pop("isa", ""),
                versions=facts,
                extra={
                    **each.errors,
                    "others_busy": round(others_busy, 3),
                    "pattern": each.entry.pattern,
                    **speeds(each.entry, wanted, timings),
                    **(extra or {}).get(subject, {}),
                },
                **fields,
            )
        )
    return made


def say(made: Sequence[measure.Row], where: str) -> None:
    """Print rows as they come."""
    for row in made:
        against = "".join(
            f", {row.extra[f'{prefix}speed']:.2f} x {row.extra[f'{prefix}rival']}"
            for prefix in ("", "sparse_")
            if f"{prefix}speed" in row.extra
        )
        print(
            f"  {row.threads} threads, {where}, {row.subject:24}: "
            f"{row.value:8.2f} ms ({row.low:.2f} .. {row.high:.2f}){against}",
            flush=True,
        )

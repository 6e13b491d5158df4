"""int8 artifacts of one model in several ways, each held against fp32 through the engine; the best
that loses no more than it may gets the name."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from limbeck import artifact, evaluation, huggingface, runtimes
from limbeck.engine import OBSERVERS
from limbeck.errors import GateError, InputError, ModelError, VerifyError
from limbeck.evaluation import Comparison, Examples, Scored
from limbeck.forge import progress
from limbeck.forge.checkpoint import as_safetensors
from limbeck.forge.export import Exported, export
from limbeck.forge.quantize import ranges, vocabulary
from limbeck.forge.quantize.vocabulary import TrimReport
from limbeck.text.vocabulary import read_json

Preference = Literal["accuracy", "speed"]
TRAINED = "trained"
_TEXT_SHARE = 5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to int8. observer None: each token finds its own range; TRAINED: the ranges that the
    model was trained with. smooth: alpha, or None."""

    observer: str | None = None
    smooth: float | None = None

    @property
    def name(self) -> str:
        kind = "dynamic" if self.observer is None else f"static {self.observer}"
        return kind if self.smooth is None else f"{kind}, smoothed {self.smooth:g}"

    @property
    def needs_texts(self) -> bool:
        return self.observer not in (None, TRAINED) or self.smooth is not None


def brings_ranges(directory: Path) -> bool:
    """Whether a model directory was trained with static ranges."""
    return ranges.of_lineage(read_json(directory / "lineage.json")) is not None


def all_candidates(alpha: float = 0.5, *, trained: bool = False) -> tuple[Candidate, ...]:
    """Dynamic, and static by each observer; each plain and smoothed.

    Args:
        trained: also, first, the ranges that the model brings.
    """
    kinds: tuple[str | None, ...] = (None, *OBSERVERS)
    brought = (Candidate(observer=TRAINED),) if trained else ()
    return brought + tuple(
        Candidate(observer=observer, smooth=smooth)
        for smooth in (None, alpha)
        for observer in kinds
    )


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What one candidate came to. comparison None: it was not exported; problems say why. warnings:
    what the limits could not be held against."""

    candidate: Candidate
    comparison: Comparison | None
    problems: tuple[str, ...]
    seconds: float
    size_bytes: int = 0
    digest: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def drop(self) -> float:
        """Points of the headline metric that are lost; infinite where that cannot be told."""
        if self.comparison is None or math.isnan(self.comparison.drop.value):
            return math.inf
        return 100 * self.comparison.drop.value


@dataclass(frozen=True, kw_only=True)
class Trim:
    """Cut the vocabulary down to these texts first: `limbeck.forge.quantize.vocabulary.trim`."""

    texts: Sequence[str]
    keep_share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The artifact that has the name, which of the candidates it is, and all that were tried."""

    exported: Exported
    chosen: Tried
    tried: tuple[Tried, ...]
    trimmed: TrimReport | None = None


def texts_apart(examples: Examples, at_most: int) -> tuple[tuple[str, ...], Examples]:
    """Texts to calibrate with, evenly chosen, and the other rows to measure on.

    No more than a fifth of the rows. Of pairs and questions their second texts, the contexts.

    Raises:
        InputError: fewer than ten rows.
    """
    count = min(at_most, len(examples) // _TEXT_SHARE)
    if len(examples) < 10 or count < 1:
        raise InputError(
            f"{len(examples)} rows are too few to take texts to calibrate with from; give them in "
            "a file of their own"
        )
    step = len(examples) / count
    chosen = {int(place * step) for place in range(count)}
    kept = [row for row in range(len(examples)) if row not in chosen]

    def taken(values: Sequence[Any] | None, rows: Sequence[int]) -> Any:
        return None if values is None else tuple(values[row] for row in rows)

    source = examples.texts if examples.pairs is None else examples.pairs
    rest = Examples(
        problem=examples.problem,
        texts=taken(examples.texts, kept),
        targets=taken(examples.targets, kept),
        pairs=taken(examples.pairs, kept),
        words=taken(examples.words, kept),
    )
    return taken(source, sorted(chosen)), rest


def quantize(
    model: str | Path,
    out: str | Path,
    examples: Examples,
    candidates: Sequence[Candidate] = (Candidate(),),
    *,
    limits: evaluation.Limits,
    calibrate: Sequence[str] = (),
    prefer: Preference = "accuracy",
    trim: Trim | None = None,
    task: str | None = None,
    max_tokens: int | None = None,
    threads: int | None = None,
    resamples: int = 1000,
) -> Outcome:
    """Export each candidate beside `out`, compare it with the model in fp32, keep the best.

    Args:
        limits: how much of the headline metric, and of slices, may be lost.
        calibrate: texts for candidates that need some.
        prefer: among those that pass, "accuracy" takes the one that loses the least, "speed" does
            so too, but a static one if any passes. What is equal goes to the first.
        trim: with the vocabulary of some texts alone. It is held against the whole one, and what
            changes is looked at on the rows.

    Raises:
        InputError: a candidate lacks texts, or the rows do not fit to the model.
        GateError: none passes; `out` stays as it was.
        ModelError, ArtifactError, VerifyError: see `limbeck.forge.export.export`; of several
            candidates one that cannot be verified is left out instead.
    """
    out = Path(out)
    if prefer not in get_args(Preference):
        raise InputError(f"prefer is accuracy or speed, not {prefer!r}")
    if not calibrate and any(one.needs_texts for one in candidates):
        raise InputError("static ranges and smoothing need texts to be measured on (calibrate)")
    if any(one.observer == TRAINED and one.smooth is not None for one in candidates):
        raise InputError("ranges that a model was trained with do not hold once it is smoothed")
    artifact.check_target(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        as_safetensors(huggingface.resolve(str(model))) as source,
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch,
    ):
        exact = runtimes.load(source, precision="fp32", task=task, threads=threads)
        if not brings_ranges(source) and any(one.observer == TRAINED for one in candidates):
            raise InputError(f"{source.name} was not trained with static ranges")
        lineage: dict[str, Any] = {}
        before = _score(exact, examples, "answering in fp32")
        trimmed = None
        if trim is not None:
            trimmed = vocabulary.trim(
                source,
                Path(scratch) / "trimmed",
                trim.texts,
                keep_share=trim.keep_share,
                held_out=[*examples.texts, *(examples.pairs or ())],
                task=task,
            )
            lineage = {"source": source.name, "vocabulary": trimmed.as_dict()}
            source = Path(scratch) / "trimmed"
        made: dict[int, Exported] = {}
        tried = []
        for number, candidate in enumerate(candidates):
            began = time.perf_counter()
            as_trained = candidate.observer == TRAINED
            try:
                one = export(
                    source,
                    Path(scratch) / str(number),
                    task=task,
                    max_tokens=max_tokens,
                    calibrate=calibrate if candidate.needs_texts else (),
                    static=None if as_trained else candidate.observer is not None,
                    observer=OBSERVERS[0]
                    if as_trained or candidate.observer is None
                    else candidate.observer,
                    smooth=candidate.smooth,
                    lineage=lineage,
                )
            except VerifyError as error:
                if len(candidates) == 1:
                    raise
                took = time.perf_counter() - began
                tried.append(
                    Tried(
                        candidate=candidate, comparison=None, problems=(str(error),), seconds=took
                    )
                )
                continue
            rounded = runtimes.load(one.directory, threads=threads)
            after = _score(rounded, examples, f"answering, {candidate.name}")
            comparison = evaluation.compare(
                before,
                after,
                resamples=resamples,
                every_class=limits.max_slice_drop is not None,
            )
            verdict = evaluation.judge(comparison, limits)
            made[number] = one
            tried.append(
                Tried(
                    candidate=candidate,
                    comparison=comparison,
                    problems=verdict.problems,
                    seconds=time.perf_counter() - began,
                    size_bytes=one.size_bytes,
                    digest=one.digest,
                    warnings=verdict.warnings,
                )
            )
        best = chosen(tried, prefer)
        exported = _named(made[tried.index(best)], out, best)
    return Outcome(exported=exported, chosen=best, tried=tuple(tried), trimmed=trimmed)


def chosen(tried: Sequence[Tried], prefer: Preference) -> Tried:
    """The best of those that passed.

    Raises:
        GateError: none did.
    """
    passed = [one for one in tried if one.passed]
    if not passed:
        nearest = min(tried, key=lambda one: one.drop)
        others = "" if len(tried) == 1 else f"; none of {len(tried)} candidates passes, the nearest"
        raise GateError(f"{nearest.candidate.name}: {'; '.join(nearest.problems)}{others}")
    if prefer == "speed":
        passed = [one for one in passed if one.candidate.observer is not None] or passed
    return min(passed, key=lambda one: one.drop)


def _score(model: runtimes.Model, examples: Examples, description: str) -> Scored:
    with progress.bar(description, len(examples)) as shown:
        return evaluation.score(model, examples, advance=shown.advance)


def _named(made: Exported, out: Path, tried: Tried) -> Exported:
    """Write a verified artifact under its name, with what was measured beside it."""
    with artifact.read(made.directory) as stored:
        digest = artifact.write(
            out,
            spec=stored.spec,
            weights=stored.weights,
            tokenizer_json=stored.tokenizer_bytes(),
            lineage=stored.lineage,
        )
    if digest != made.digest:
        raise ModelError(f"{out} was written with another digest than the verified copy")
    comparison = tried.comparison
    assert comparison is not None
    artifact.write_measured(
        out,
        {
            "int8": {
                "metric": comparison.metric,
                "rows": comparison.rows,
                "fp32": comparison.first,
                "value": comparison.second,
                "drop": [
                    None if math.isnan(value) else value
                    for value in (comparison.drop.value, comparison.drop.low, comparison.drop.high)
                ],
                "candidate": tried.candidate.name,
                "warnings": list(tried.warnings),
            }
        },
    )
    return dataclasses.replace(
        made, directory=out, report=dataclasses.replace(made.report, source=str(out))
    )

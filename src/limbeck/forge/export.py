"""A trained model -> a verified artifact."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck import artifact, huggingface, runtimes
from limbeck.engine import convert_weights
from limbeck.errors import InputError, ModelError
from limbeck.forge import progress
from limbeck.forge.checkpoint import Checkpoint, as_safetensors, versions
from limbeck.forge.quantize import ranges as static_ranges
from limbeck.forge.quantize.sample import look_at
from limbeck.forge.quantize.smoothing import smoothed
from limbeck.forge.verify import Limits, VerifyReport, verify
from limbeck.spec import ModelSpec, Precision, QuantSpec, Threshold
from limbeck.tensors import is_range
from limbeck.text.vocabulary import read_json


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An artifact that has its final name, and the proof that it answers as its source.

    warnings: what speaks against the texts that static ranges were taken from.
    """

    directory: Path
    digest: str
    size_bytes: int
    report: VerifyReport
    warnings: tuple[str, ...] = ()


def export(
    model: Checkpoint | str | Path,
    out: str | Path,
    precision: Precision = "int8",
    *,
    task: str | None = None,
    threshold: Threshold | None = None,
    max_tokens: int | None = None,
    calibrate: Sequence[str] = (),
    observer: str = "minmax",
    static: bool | None = None,
    smooth: float | None = None,
    lineage: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008 (a frozen value)
) -> Exported:
    """Convert a model and verify the result before it gets its name.

    Args:
        model: what the forge trained, or a Hugging Face or sentence-transformers directory or hub
            name; where it has pytorch_model.bin alone, that is read as weights only.
        out: the artifact's directory; an artifact that is there is replaced, anything else is not.
        threshold: where to decide, as chosen on validation data.
        max_tokens: where texts are cut; None: as the model's directory says.
        calibrate: texts from which an int8 model takes static ranges for its activations; none:
            those that it was trained with (`limbeck.forge.quantize.qat`), and where there are none
            every token finds its own. Some dozens of typical texts are enough.
        observer: how a range is chosen from them, one of `limbeck.engine.OBSERVERS`.
        static: False: every token finds its own range, and `calibrate` is for smoothing alone.
            None: as said there.
        smooth: move outliers into weights and biases first, with this alpha
            (`limbeck.forge.quantize.smooth`); they are found on the texts of `calibrate`.

    Raises:
        InputError: `calibrate` for an fp32 artifact or for nothing, smoothing or static ranges
            without texts, or no such observer.
        ModelError: the model cannot be read or is not supported.
        ArtifactError: `out` holds something that is no artifact.
        VerifyError: the artifact does not answer as the model does; `out` stays as it was.
    """
    out = Path(out)
    _check(precision, calibrate, static, smooth)
    artifact.check_target(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    how = _How(
        precision=precision,
        task=task,
        threshold=threshold,
        max_tokens=max_tokens,
        calibrate=calibrate,
        observer=observer,
        static=bool(calibrate) if static is None else static,
        as_trained=static is None and not calibrate and precision == "int8",
        smooth=smooth,
        limits=limits,
    )
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        if isinstance(model, Checkpoint):
            source = model.save(Path(scratch) / "checkpoint")
            how = dataclasses.replace(
                how, task=task or model.task, max_tokens=max_tokens or model.max_tokens
            )
            known = {**model.lineage, **(lineage or {}), "source": model.digest}
            return _export(source, out, Path(scratch), how, known)
        with as_safetensors(huggingface.resolve(str(model))) as source:
            known = {"source": source.name, **(lineage or {})}
            return _export(source, out, Path(scratch), how, known)


@dataclass(frozen=True, kw_only=True)
class _How:
    """The arguments of `export` that say what becomes of a directory."""

    precision: Precision
    task: str | None
    threshold: Threshold | None
    max_tokens: int | None
    calibrate: Sequence[str]
    observer: str
    static: bool
    as_trained: bool
    smooth: float | None
    limits: Limits


def _check(
    precision: Precision, calibrate: Sequence[str], static: bool | None, smooth: float | None
) -> None:
    if precision != "int8" and (calibrate or static or smooth is not None):
        raise InputError(
            "static ranges are for int8, and so is smoothing; leave out the texts to calibrate with"
        )
    if not calibrate and (static or smooth is not None):
        raise InputError("static ranges and smoothing need texts to be measured on (calibrate)")
    if calibrate and static is False and smooth is None:
        raise InputError("the texts to calibrate with are for static ranges or for smoothing")


def _export(
    source: Path, out: Path, scratch: Path, how: _How, lineage: Mapping[str, Any]
) -> Exported:
    original = runtimes.open_source(source, how.task)
    encoder = original.spec.encoder
    longest = how.max_tokens or original.spec.task.max_tokens
    if longest > encoder.max_tokens:
        raise InputError(
            f"texts cannot be cut at {longest} tokens: the model has positions for "
            f"{encoder.max_tokens}"
        )
    warnings: tuple[str, ...] = ()
    if how.calibrate:
        sample = look_at(original.tokenizer(), how.calibrate, longest)
        warnings = sample.warnings
        said = {"observer": how.observer if how.static else None, "smooth": how.smooth}
        lineage = {**lineage, "calibration": {**said, **asdict(sample)}}
    lineage_before = read_json(source / "lineage.json")
    if how.smooth is not None:
        source = smoothed(
            source,
            scratch / "smoothed",
            how.calibrate,
            alpha=how.smooth,
            max_tokens=longest,
            task=how.task,
        )
        original = runtimes.open_source(source, how.task)
    quant = QuantSpec(precision=how.precision)
    weights = dict(convert_weights(original.weights, encoder, how.precision))
    if how.static:
        with progress.bar("calibrating", len(how.calibrate)) as shown:

            def counted() -> Iterator[str]:
                for text in how.calibrate:
                    yield text
                    shown.advance(1)

            weights |= runtimes.static_ranges(original, counted(), longest, how.observer)
    elif how.as_trained:
        weights |= static_ranges.of_lineage(lineage_before) or {}
    if any(is_range(name) for name in weights):
        quant = QuantSpec(precision="int8", activations="static")
    contents: dict[str, Any] = {
        "spec": ModelSpec(
            encoder=encoder,
            task=dataclasses.replace(
                original.spec.task, max_tokens=longest, threshold=how.threshold
            ),
            quant=quant,
        ),
        "weights": weights,
        "tokenizer_json": original.tokenizer_json(),
        "lineage": {**lineage, "made_by": versions()},
    }
    trial = scratch / "trial"
    digest = artifact.write(trial, **contents)
    report = verify(trial, against=source, limits=how.limits, same_weights=True)
    # The verified file and the named one have the same digest, so they are the same model. Writing
    # it again leaves replacing an older artifact, whole or not at all, to the one that knows how.
    if artifact.write(out, **contents) != digest:
        raise ModelError(f"{out} was written with another digest than the verified copy")
    with artifact.read(out, verify=False) as made:
        size = made.size_bytes
    report = dataclasses.replace(report, source=str(out))
    return Exported(directory=out, digest=digest, size_bytes=size, report=report, warnings=warnings)

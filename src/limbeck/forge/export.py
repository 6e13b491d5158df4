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
from limbeck.forge.quantize import ranges as static
from limbeck.forge.quantize.sample import look_at
from limbeck.forge.verify import Limits, VerifyReport, verify
from limbeck.spec import ModelSpec, Precision, QuantSpec, Threshold
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

    Raises:
        InputError: `calibrate` for an fp32 artifact, or no such observer.
        ModelError: the model cannot be read or is not supported.
        ArtifactError: `out` holds something that is no artifact.
        VerifyError: the artifact does not answer as the model does; `out` stays as it was.
    """
    out = Path(out)
    artifact.check_target(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        if isinstance(model, Checkpoint):
            source = model.save(Path(scratch) / "checkpoint")
            return _export(
                source,
                out,
                Path(scratch),
                precision=precision,
                task=task or model.task,
                threshold=threshold,
                max_tokens=max_tokens or model.max_tokens,
                calibrate=calibrate,
                observer=observer,
                lineage={**model.lineage, **(lineage or {}), "source": model.digest},
                limits=limits,
            )
        with as_safetensors(huggingface.resolve(str(model))) as source:
            return _export(
                source,
                out,
                Path(scratch),
                precision=precision,
                task=task,
                threshold=threshold,
                max_tokens=max_tokens,
                calibrate=calibrate,
                observer=observer,
                lineage={"source": source.name, **(lineage or {})},
                limits=limits,
            )


def _export(
    source: Path,
    out: Path,
    scratch: Path,
    *,
    precision: Precision,
    task: str | None,
    threshold: Threshold | None,
    max_tokens: int | None,
    calibrate: Sequence[str],
    observer: str,
    lineage: Mapping[str, Any],
    limits: Limits,
) -> Exported:
    original = runtimes.open_source(source, task)
    encoder = original.spec.encoder
    longest = max_tokens or original.spec.task.max_tokens
    if longest > encoder.max_tokens:
        raise InputError(
            f"texts cannot be cut at {longest} tokens: the model has positions for "
            f"{encoder.max_tokens}"
        )
    quant = QuantSpec(precision=precision)
    warnings: tuple[str, ...] = ()
    weights = dict(convert_weights(original.weights, encoder, precision))
    ranges = static.of_lineage(_trained_as(source)) if precision == "int8" else None
    if ranges is not None and not calibrate:
        quant = QuantSpec(precision="int8", activations="static")
        weights |= ranges
    if calibrate:
        if precision != "int8":
            raise InputError("static ranges are for int8; leave out the texts to calibrate with")
        quant = QuantSpec(precision="int8", activations="static")
        sample = look_at(original.tokenizer(), calibrate, longest)
        warnings = sample.warnings
        lineage = {**lineage, "calibration": {"observer": observer, **asdict(sample)}}
        with progress.bar("calibrating", len(calibrate)) as shown:

            def counted() -> Iterator[str]:
                for text in calibrate:
                    yield text
                    shown.advance(1)

            weights |= runtimes.static_ranges(original, counted(), longest, observer)
    contents: dict[str, Any] = {
        "spec": ModelSpec(
            encoder=encoder,
            task=dataclasses.replace(original.spec.task, max_tokens=longest, threshold=threshold),
            quant=quant,
        ),
        "weights": weights,
        "tokenizer_json": original.tokenizer_json(),
        "lineage": {**lineage, "made_by": versions()},
    }
    trial = scratch / "trial"
    digest = artifact.write(trial, **contents)
    report = verify(trial, against=source, limits=limits)
    # The verified file and the named one have the same digest, so they are the same model. Writing
    # it again leaves replacing an older artifact, whole or not at all, to the one that knows how.
    if artifact.write(out, **contents) != digest:
        raise ModelError(f"{out} was written with another digest than the verified copy")
    with artifact.read(out, verify=False) as made:
        size = made.size_bytes
    report = dataclasses.replace(report, source=str(out))
    return Exported(directory=out, digest=digest, size_bytes=size, report=report, warnings=warnings)


def _trained_as(source: Path) -> Mapping[str, Any]:
    """The lineage that a directory brings, if it does."""
    return read_json(source / "lineage.json")

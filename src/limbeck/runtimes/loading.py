"""load(): the door from a path or a hub name to a Model."""

from __future__ import annotations

import os
from typing import get_args

from limbeck.errors import InputError
from limbeck.runtimes.model import Model
from limbeck.runtimes.own import OwnModel
from limbeck.runtimes.source import open_source
from limbeck.spec import ComputePrecision


def load(
    path_or_hub_id: str | os.PathLike[str],
    *,
    precision: str = "auto",
    runtime: str = "limbeck",
    device: str = "cpu",
    threads: int | None = None,
    instances: int = 1,
    task: str | None = None,
) -> Model:
    """Load a model.

    Args:
        path_or_hub_id: an artifact, a Hugging Face or sentence-transformers directory, or a name
            on the Hugging Face hub.
        precision: "fp32", "bf16", "int8", or "auto": an artifact as it is stored, a Hugging Face
            directory in fp32. Nothing is quantised unasked. On a CPU without AVX512-BF16 "bf16"
            computes in fp32, and `describe()` says so.
        runtime, device: "limbeck" and "cpu" are what this version has.
        threads: of each instance; None: the CPUs that this process may use (affinity and cgroup
            quota), shared out among the instances.
        instances: calls that run side by side, on one copy of the weights. One instance with all
            threads answers soonest; several answer more in all where batches are small.
        task: None for the one that the model was made for.

    Raises:
        InputError: an option that makes no sense or that this version does not have.
        ArtifactError: a damaged artifact.
        ModelError: no model, or one that is not supported, or not for this task.
        EngineError: the native engine is not built, or refuses the model.
        MissingExtraError: a hub name, and huggingface_hub is not installed.
    """
    _choose("precision", precision, ("auto", *get_args(ComputePrecision)))
    _choose("runtime", runtime, ("limbeck",))
    _choose("device", device, ("cpu",))
    source = open_source(path_or_hub_id, task)
    chosen: ComputePrecision = source.spec.quant.precision
    for asked in get_args(ComputePrecision):
        if precision == asked:
            chosen = asked
    return OwnModel(source, precision=chosen, threads=threads, instances=instances)


def _choose(name: str, value: object, supported: tuple[object, ...]) -> None:
    if value not in supported:
        listed = ", ".join(map(str, supported))
        raise InputError(f"{name}={value!r} is not supported by this version; supported: {listed}")

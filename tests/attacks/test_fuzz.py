"""Random damage: an ArtifactError, or nothing of it can be seen in the content."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import artifact_files as samples
from limbeck import artifact
from limbeck.artifact import Artifact
from limbeck.errors import ArtifactError

FILES = ("limbeck.json", "model.safetensors", "tokenizer.json")
SETTINGS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fuzz") / "a"
    samples.write(directory)
    return directory


@cache
def contents(original: Path) -> dict[str, bytes]:
    return {name: (original / name).read_bytes() for name in FILES}


def content(found: Artifact) -> tuple[Any, ...]:
    tensors = {
        name: (tensor.shape, tensor.block, tensor.stored().tobytes(), tensor.dense().tobytes())
        for name, tensor in found.weights.items()
    }
    return found.spec, tensors, found.tokenizer_bytes(), found.digest


positions = st.floats(0, 1, exclude_max=True)
flips = st.lists(st.tuples(positions, st.integers(1, 255)), min_size=1, max_size=4)
damages = st.one_of(
    st.tuples(st.just("flip"), flips),
    st.tuples(st.just("cut"), positions),
    st.tuples(st.just("zero"), st.tuples(positions, st.integers(1, 64))),
    st.tuples(st.just("repeat"), st.tuples(positions, st.integers(1, 64))),
    st.tuples(st.just("drop"), st.tuples(positions, st.integers(1, 64))),
)


def damaged(data: bytes, damage: tuple[str, Any]) -> bytes:
    kind, what = damage
    if kind == "flip":
        changed = bytearray(data)
        for position, mask in what:
            changed[int(position * len(data))] ^= mask
        return bytes(changed)
    if kind == "cut":
        return data[: int(what * len(data))]
    start = int(what[0] * len(data))
    middle = data[start : start + what[1]]
    new = {"zero": bytes(len(middle)), "repeat": middle * 2, "drop": b""}[kind]
    return data[:start] + new + data[start + len(middle) :]


@SETTINGS
@given(name=st.sampled_from(FILES), damage=damages)
@example(name="limbeck.json", damage=("flip", [(0.0, 1)]))
def test_damage_never_passes_verification(
    original: Path, tmp_path: Path, name: str, damage: tuple[str, Any]
) -> None:
    for other in FILES:
        data = contents(original)[other]
        (tmp_path / other).write_bytes(damaged(data, damage) if other == name else data)
    wanted = content(artifact.read(original))
    try:
        found = artifact.read(tmp_path)
    except ArtifactError:
        pass
    else:  # a blank in limbeck.json, or its lineage
        assert content(found) == wanted
    try:
        unverified = artifact.read(tmp_path, verify=False)
    except ArtifactError:
        return
    content(unverified)  # whatever it holds, it can be read without falling off an edge


@SETTINGS
@given(damage=damages)
def test_forged_weights_are_refused_or_sound(
    original: Path, tmp_path: Path, damage: tuple[str, Any]
) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(contents(original)[name])
    (tmp_path / "model.safetensors").write_bytes(
        damaged(contents(original)["model.safetensors"], damage)
    )
    samples.reseal(tmp_path)
    try:
        found = artifact.read(tmp_path)
    except ArtifactError:
        return
    assert found.spec == samples.spec()
    for tensor in found.weights.values():
        assert np.isfinite(tensor.dense()).all()


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items: Any = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, item in items:
        yield from paths(item, (*path, key))


NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 300),
    st.sampled_from([2**31 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.integers(-1, 2**40), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@SETTINGS
@given(where=positions, value=NASTY)
def test_forged_headers_are_refused_or_sound(
    original: Path, tmp_path: Path, where: float, value: object
) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(contents(original)[name])
    file = samples.WeightsFile.load(tmp_path)
    header = copy.deepcopy(file.header)
    found = list(paths(header))
    *steps, last = found[int(where * len(found))]
    place: Any = header
    for step in steps:
        place = place[step]
    unchanged = place[last] == value and type(place[last]) is type(value)
    place[last] = value
    samples.WeightsFile(header, file.data).save(tmp_path)
    if unchanged:
        return
    with pytest.raises(ArtifactError):
        artifact.read(tmp_path)

"""Sizes that fill no register, panel or row group, down to one feature, one label, one word.

test_bits and test_equality hold models of the usual kind to their word; here hypothesis chooses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import odd_models
from limbeck.artifact import BLOCK_PATTERNS
from limbeck.batch import PackedBatch, pack
from limbeck.engine import Engine, isas, reference
from limbeck.errors import InputError
from limbeck.spec import ModelSpec

F32 = npt.NDArray[np.float32]
SETTINGS = settings(max_examples=80, deadline=None, derandomize=True)

FP32_BAR = 1e-4

lengths = st.lists(st.sampled_from(odd_models.LENGTHS), min_size=1, max_size=5)
seeds = st.integers(0, 1000)


def batch_for(spec: ModelSpec, lengths: list[int], seed: int) -> PackedBatch:
    ids = odd_models.rows(spec, lengths, seed)
    return pack(ids, odd_models.type_ids(spec, ids, seed))


def outputs(spec: ModelSpec) -> tuple[str, ...]:
    every = ("hidden", "mean", "cls", "max")
    return every if spec.task.head is None else ("logits", *every)


def distance(found: F32, wanted: F32) -> float:
    """The largest difference, as a share of the largest number that is due."""
    assert found.shape == wanted.shape
    assert np.isfinite(found).all()
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-2))


@SETTINGS
@given(spec=odd_models.specs(), lengths=lengths, seed=seeds)
def test_int8_has_the_oracles_bits_everywhere(
    spec: ModelSpec, lengths: list[int], seed: int
) -> None:
    weights, batch = odd_models.weights(spec, seed), batch_for(spec, lengths, seed)
    engines = [
        Engine(spec, weights, precision="int8", threads=threads, isa=isa)
        for isa in isas()
        for threads in (1, 3)
    ]
    for output in outputs(spec):
        wanted = reference.forward(spec, weights, batch, "int8", output)  # type: ignore[arg-type]
        answers = [engine.forward(batch, output) for engine in engines]  # type: ignore[arg-type]
        for engine, answer in zip(engines, answers):
            assert answer.tobytes() == wanted.tobytes(), (output, engine.isa, engine.threads)


@SETTINGS
@given(spec=odd_models.specs(), lengths=lengths, seed=seeds)
def test_fp32_follows_the_oracle_on_every_isa(
    spec: ModelSpec, lengths: list[int], seed: int
) -> None:
    weights, batch = odd_models.weights(spec, seed), batch_for(spec, lengths, seed)
    for isa in isas():
        engine = Engine(spec, weights, precision="fp32", threads=2, isa=isa)
        for output in outputs(spec):
            wanted = reference.forward(spec, weights, batch, "fp32", output)  # type: ignore[arg-type]
            found = engine.forward(batch, output)  # type: ignore[arg-type]
            assert distance(found, wanted) < FP32_BAR, (output, isa)


@SETTINGS
@given(
    spec=odd_models.specs(),
    lengths=lengths,
    seed=seeds,
    precision=st.sampled_from(["fp32", "int8"]),
)
def test_a_sequence_in_a_batch_gets_the_bits_that_it_gets_alone(
    spec: ModelSpec, lengths: list[int], seed: int, precision: Any
) -> None:
    weights = odd_models.weights(spec, seed)
    engine = Engine(spec, weights, precision=precision, threads=2)
    ids = odd_models.rows(spec, lengths, seed)
    types = odd_models.type_ids(spec, ids, seed)
    together = np.split(engine.forward(pack(ids, types), "hidden"), np.cumsum(lengths)[:-1])
    for i, (row, answer) in enumerate(zip(ids, together, strict=True)):
        alone = engine.forward(pack([row], types and [types[i]]), "hidden")
        assert answer.tobytes() == alone.tobytes(), i


@SETTINGS
@given(
    spec=odd_models.specs(step=4) | odd_models.specs(step=8),
    lengths=lengths,
    seed=seeds,
    block=st.sampled_from(BLOCK_PATTERNS),
    density=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    precision=st.sampled_from(["fp32", "int8"]),
)
def test_weights_in_blocks_follow_the_oracle_however_they_are_stored(
    spec: ModelSpec,
    lengths: list[int],
    seed: int,
    block: tuple[int, int],
    density: float,
    precision: Any,
) -> None:
    weights = odd_models.weights(spec, seed)
    dense, encoded = odd_models.in_blocks(weights, block, density, seed)
    batch = batch_for(spec, lengths, seed)
    wanted = reference.forward(spec, encoded, batch, precision, "hidden")
    answers = [
        Engine(spec, stored, precision=precision, threads=threads, isa=isa).forward(batch, "hidden")
        for stored in (dense, encoded)
        for isa in isas()
        for threads in (1, 2)
    ]
    for answer in answers:
        if precision == "int8":
            assert answer.tobytes() == wanted.tobytes()
        else:
            assert distance(answer, wanted) < FP32_BAR


@settings(SETTINGS, max_examples=15)
@given(spec=odd_models.specs(), lengths=lengths, seed=seeds, at=st.integers(0, 5))
def test_a_sequence_without_tokens_is_refused_wherever_it_stands(
    spec: ModelSpec, lengths: list[int], seed: int, at: int
) -> None:
    engine = Engine(spec, odd_models.weights(spec, seed), precision="int8", threads=2)
    ids = odd_models.rows(spec, lengths, seed)
    ids.insert(at, [])
    with pytest.raises(InputError):
        engine.forward(pack(ids), "hidden")
    engine.forward(pack(odd_models.rows(spec, lengths, seed)), "hidden")

"""The same sequence gets the same bits: any thread count, any batch mates, any place in the batch;
in int8 on every instruction set as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import models
from limbeck import huggingface
from limbeck.batch import pack
from limbeck.engine import Engine, isas, reference
from limbeck.huggingface import HuggingFaceModel

Zoo = Callable[..., Path]
F32 = npt.NDArray[np.float32]

OUTPUTS = ("logits", "hidden", "mean", "max")
# Around the widths of vectors and tiles, and some that are none of them.
LENGTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100, 127, 128, 129, 158)
FEW_LENGTHS = (1, 3, 16, 17, 33, 64)  # the portable kernels are written to be read, not to be fast
THREADS = (1, 2, 3)
CASES = [
    ("bert", "token-classification", models.Shape()),
    ("roberta", "text-classification", models.Shape(layers=2, hidden=42, heads=3, ffn=50)),
    ("distilbert", "text-classification", models.Shape(layers=2, hidden=128, heads=2, ffn=256)),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[2].hidden}")
def model(zoo: Zoo, request: pytest.FixtureRequest) -> HuggingFaceModel:
    architecture, task, shape = request.param
    return huggingface.read(zoo(architecture, task, shape=shape))


def rows_for(model: HuggingFaceModel, lengths: tuple[int, ...] = LENGTHS) -> list[list[int]]:
    return models.random_ids(model.spec.encoder.architecture, lengths, seed=5)


def answers(engine: Engine, rows: list[list[int]]) -> list[dict[str, F32]]:
    """Every output, cut up by sequence."""
    batch = pack(rows)
    head = engine.spec.task.head
    assert head is not None
    found: list[dict[str, F32]] = [{} for _ in rows]
    for output in OUTPUTS:
        whole = engine.forward(batch, output)  # type: ignore[arg-type]
        by_token = output == "hidden" or (output == "logits" and head.kind == "token")
        ends = batch.cu_seqlens[1:-1] if by_token else range(1, len(rows))
        for part, answer in zip(np.split(whole, list(ends)), found, strict=True):
            answer[output] = part
    return found


def assert_same_bits(found: list[dict[str, F32]], wanted: list[dict[str, F32]]) -> None:
    for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
        for output in OUTPUTS:
            assert one[output].tobytes() == other[output].tobytes(), f"{output} of sequence {i}"


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_threads_and_batch_mates(model: HuggingFaceModel, precision: Any, isa: str) -> None:
    rows = rows_for(model, FEW_LENGTHS if isa == "reference" else LENGTHS)
    engines = [
        Engine(model.spec, model.weights, precision=precision, threads=n, isa=isa) for n in THREADS
    ]
    alone = [answers(engines[0], [row])[0] for row in rows]
    order = np.random.default_rng(1).permutation(len(rows))
    for engine in engines:
        assert_same_bits(answers(engine, rows), alone)
        mixed = answers(engine, [rows[i] for i in order] * 2)
        assert_same_bits(mixed, [alone[i] for i in order] * 2)
        assert_same_bits(answers(engine, rows[::-1]), alone[::-1])
        assert_same_bits([answers(engine, [row])[0] for row in rows[-3:]], alone[-3:])


def test_every_isa_gives_the_same_bits_in_int8(model: HuggingFaceModel) -> None:
    rows = rows_for(model, FEW_LENGTHS)
    found = [
        answers(Engine(model.spec, model.weights, precision="int8", threads=1, isa=isa), rows)
        for isa in isas()
    ]
    for other in found[1:]:
        assert_same_bits(other, found[0])


def test_int8_gives_the_oracles_bits(model: HuggingFaceModel) -> None:
    batch = pack(rows_for(model, (2, 5, *LENGTHS)))
    engine = Engine(model.spec, model.weights, precision="int8", threads=1)
    for output in (*OUTPUTS, "cls"):
        wanted = reference.forward(model.spec, model.weights, batch, "int8", output)  # type: ignore[arg-type]
        found = engine.forward(batch, output)  # type: ignore[arg-type]
        assert found.tobytes() == wanted.tobytes(), output


def test_more_threads_than_parts(model: HuggingFaceModel) -> None:
    """Threads without a part of their own must leave the others' alone, in any order of batches."""
    rows = rows_for(model, (120,) * 15)
    wanted = answers(Engine(model.spec, model.weights, precision="int8", threads=1), rows)
    engine = Engine(model.spec, model.weights, precision="int8", threads=16)
    for count in (1, 15, 3, 15):
        assert_same_bits(answers(engine, rows[:count]), wanted[:count])


def test_the_bits_stay_the_same_call_after_call(model: HuggingFaceModel) -> None:
    """A larger batch in between must leave nothing behind in the workspace."""
    engine = Engine(model.spec, model.weights, precision="int8", threads=2)
    small = rows_for(model, (9, 17))
    first = answers(engine, small)
    answers(engine, rows_for(model))
    assert_same_bits(answers(engine, small), first)


def test_many_callers_at_once(model: HuggingFaceModel) -> None:
    engine = Engine(model.spec, model.weights, precision="int8", threads=2)
    batches = [rows_for(model, lengths) for lengths in ((5, 40), (64,), (1, 2, 3), (100, 17))]
    wanted = [answers(engine, rows) for rows in batches]
    failures: list[BaseException] = []

    def call(turns: Iterator[int]) -> None:
        try:
            for turn in turns:
                assert_same_bits(answers(engine, batches[turn]), wanted[turn])
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=call, args=(iter([(i + j) % 4 for j in range(12)]),))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_thread_counts_differ_where_bits_do_not(model: HuggingFaceModel) -> None:
    """The test above would prove nothing if the thread count were ignored."""
    found = [
        Engine(model.spec, model.weights, precision="fp32", threads=n).describe()["threads"]
        for n in THREADS
    ]
    assert found == list(THREADS)

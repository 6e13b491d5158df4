"""Several instances on one copy of the weights: side by side, and with the same bits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import limbeck
import models
from limbeck.engine import available_cpus
from limbeck.errors import InputError

Zoo = Callable[..., Path]


def test_threads_are_shared_out_and_weights_are_not_copied(zoo: Zoo) -> None:
    directory = zoo("bert", "text-classification")
    one, three = (limbeck.load(directory, instances=n).describe() for n in (1, 3))
    assert (one["instances"], three["instances"]) == (1, 3)
    assert one["threads"] == available_cpus()
    assert three["threads"] == max(1, available_cpus() // 3)
    assert three["weights_bytes"] == one["weights_bytes"]
    assert limbeck.load(directory, instances=3, threads=2).describe()["threads"] == 2


@pytest.mark.parametrize("instances", [1, 2, 3])
def test_many_callers_get_their_own_answers(zoo: Zoo, instances: int) -> None:
    directory = zoo("bert", "text-classification")
    model = limbeck.load(directory, precision="int8", threads=2, instances=instances)
    batches = [models.random_ids("bert", lengths) for lengths in ([5, 40], [64], [1, 2, 3], [100])]
    single = limbeck.load(directory, precision="int8", threads=1)
    wanted = [single.forward(rows).tobytes() for rows in batches]
    failures: list[BaseException] = []

    def call(caller: int) -> None:
        try:
            for turn in range(12):
                at = (caller + turn) % 4
                assert model.forward(batches[at]).tobytes() == wanted[at]
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures, failures[0]


def test_calls_run_side_by_side(zoo: Zoo) -> None:
    """The second instance gets activations of its own once two calls have met."""
    model = limbeck.load(zoo("bert", "text-classification"), threads=1, instances=2)
    rows = models.random_ids("bert", [100] * 8)
    model.forward(rows)
    arena = model.describe()["arena_bytes"]
    together = threading.Barrier(2)

    def call() -> None:
        for _ in range(200):
            together.wait()
            model.forward(rows)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert model.describe()["arena_bytes"] == 2 * arena


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_call_that_is_alone_gets_the_same_bits_from_more_threads(
    zoo: Zoo, precision: str
) -> None:
    directory = zoo("bert", "text-classification")
    model = limbeck.load(directory, precision=precision, threads=2, instances=2)
    rows = models.random_ids("bert", [100, 3, 40])
    before, wanted = threads_of_process(), model.forward(rows).tobytes()
    assert threads_of_process() == before  # those of the instances are there already
    for _ in range(3):
        assert model.forward(rows, alone=True).tobytes() == wanted
    assert threads_of_process() == before + 3  # four work, and one of them is the caller
    single = limbeck.load(directory, precision=precision, threads=2)
    before = threads_of_process()
    assert single.forward(rows, alone=True).tobytes() == wanted
    assert threads_of_process() == before


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("instances", [0, -1, 1.5, True, "2", 5000])
def test_numbers_of_instances_that_make_no_sense(zoo: Zoo, instances: Any) -> None:
    with pytest.raises(InputError, match="instances must be in 1"):
        limbeck.load(zoo("bert", "text-classification"), instances=instances)

"""Where the time of a pass went: every thread's spans, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck import huggingface
from limbeck.batch import pack
from limbeck.engine import Engine, Profile, Span
from limbeck.errors import InputError

LENGTHS = {"one part": [40], "a part for each thread": [60, 70, 80, 90], "together": [500]}


@pytest.fixture(scope="module")
def engines(zoo: Callable[..., Path]) -> dict[str, Engine]:
    model = huggingface.read(zoo("bert", "text-classification"))
    return {
        precision: Engine(model.spec, model.weights, precision=precision, threads=2)  # type: ignore[arg-type]
        for precision in ("fp32", "int8")
    }


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_every_thread_s_spans_follow_one_another(
    engines: dict[str, Engine], precision: str, lengths: list[int]
) -> None:
    engine = engines[precision]
    limit = engine.spec.encoder.max_tokens
    batch = pack(models.random_ids("bert", [min(length, limit) for length in lengths]))
    wanted = engine.forward(batch)
    found = engine.profile(batch)
    assert found.threads == 2
    assert found.precision == precision
    assert {span.thread for span in found.spans} <= {0, 1}
    for thread in (0, 1):
        own = [span for span in found.spans if span.thread == thread]
        assert all(span.begin_ns <= span.end_ns for span in own)
        assert all(a.end_ns <= b.begin_ns for a, b in pairwise(own))
    assert min(span.begin_ns for span in found.spans) == 0
    encoder = engine.spec.encoder
    assert {span.layer for span in found.spans} == set(range(-1, encoder.layers))
    # all products of the queries, keys and values, whoever computed them
    panels = sum(s.operations for s in found.spans if s.op == "qkv") / (
        encoder.layers * 2 * 3 * encoder.hidden**2 * 16
    )
    assert panels == pytest.approx(round(panels), rel=1e-3)
    assert panels >= batch.tokens / 16
    assert np.array_equal(engine.forward(batch), wanted)


def test_the_table_adds_up(engines: dict[str, Engine]) -> None:
    found = engines["int8"].profile(pack(models.random_ids("bert", [50, 60])))
    rows = found.by_op()
    assert sum(row.share for row in rows) == pytest.approx(1.0, abs=1e-6)
    assert sum(row.ms for row in rows) == pytest.approx(2 * found.wall_ms, rel=1e-6)
    assert [row.ms for row in rows] == sorted((row.ms for row in rows), reverse=True)
    by_name = {row.op: row for row in rows}
    assert by_name["ffn_in"].gops is not None
    assert by_name["norm"].gops is None


def test_a_table_by_hand() -> None:
    spans = (
        Span(op="qkv", layer=0, thread=0, begin_ns=0, end_ns=3_000_000, operations=6_000_000),
        Span(op="wait", layer=-1, thread=1, begin_ns=0, end_ns=1_000_000, operations=0),
    )
    profile = Profile(spans=spans, threads=2, precision="int8", isa="avx2")
    assert profile.wall_ms == 3.0
    found = {row.op: (row.calls, row.ms, row.share, row.gops) for row in profile.by_op()}
    assert found == {
        "qkv": (1, 3.0, 0.5, 2.0),
        "wait": (1, 1.0, pytest.approx(1 / 6), None),
        "other": (0, 2.0, pytest.approx(1 / 3), None),
    }


def test_the_trace_is_what_chrome_reads(engines: dict[str, Engine]) -> None:
    found = engines["fp32"].profile(pack(models.random_ids("bert", [20])), "hidden")
    trace = json.loads(json.dumps(found.chrome_trace()))
    assert len(trace["traceEvents"]) == len(found.spans)
    for event in trace["traceEvents"]:
        assert event["ph"] == "X"
        assert event["dur"] >= 0
        assert set(event) == {"name", "cat", "ph", "pid", "tid", "ts", "dur", "args"}


def test_a_batch_of_many_spans(engines: dict[str, Engine]) -> None:
    """More than the room that is made ready at first, and none is dropped."""
    batch = pack(models.random_ids("bert", [3] * 600))
    assert len(engines["int8"].profile(batch).spans) > 4096


def test_what_has_no_profile(engines: dict[str, Engine]) -> None:
    with pytest.raises(InputError, match="empty batch"):
        engines["fp32"].profile(pack([]))
    with pytest.raises(InputError, match="output"):
        engines["fp32"].profile(pack([[1]]), "nonsense")  # type: ignore[arg-type]

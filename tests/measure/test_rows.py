"""Rows survive the way to disk and back, and never mix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck import measure
from limbeck.errors import InputError
from limbeck.measure.machine import _cpuinfo, _quota


def row(**changes: object) -> measure.Row:
    fields: dict[str, object] = {
        "run": "r1",
        "benchmark": "engine",
        "subject": "limbeck int8",
        "workload": {"batch": 1, "tokens": 128},
        "unit": "ms",
        "value": 2.0,
        "low": 1.0,
        "high": 3.0,
        "repeats": 5,
        "commit": "abc",
    }
    return measure.Row(**{**fields, **changes})  # type: ignore[arg-type]


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    path = tmp_path / "results" / "rows.jsonl"
    rows = [row(), row(run="r2", p99=3.5, extra={"error": 0.25}, versions={"numpy": "2"})]
    measure.append_rows(path, rows[:1])
    measure.append_row(path, rows[1])
    assert measure.read_rows(path) == rows
    assert measure.latest_run(measure.read_rows(path)) == rows[1:]
    assert measure.read_rows(tmp_path / "absent.jsonl") == []
    assert measure.latest_run([]) == []


def test_a_row_says_where_it_was_measured() -> None:
    fields = json.loads(row().to_json())
    assert set(fields["machine"]) == {"cpu", "cores", "isa", "memory_mb", "kernel", "python"}
    assert fields["machine"]["cores"] >= 1
    assert fields["machine"]["memory_mb"] > 0
    assert fields["date"].endswith("+00:00")
    assert fields["schema"] == 1


WRITER = """
import sys
from limbeck import measure
line = sys.stdin.read()
for _ in range(200):
    measure.append_row(sys.argv[1], measure.Row.from_json(line))
"""


def test_writers_at_the_same_time_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for number, writer in enumerate(writers):
        assert writer.stdin is not None
        writer.stdin.write(row(subject=f"w{number}", extra={"filler": "x" * 5000}).to_json())
        writer.stdin.close()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    found = measure.read_rows(path)
    assert sorted(r.subject for r in found) == ["w0"] * 200 + ["w1"] * 200


def test_a_cut_line_stays_one_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    measure.append_row(path, row())
    path.write_text(path.read_text(encoding="utf-8") + '{"cut', encoding="utf-8")
    measure.append_row(path, row(subject="after"))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1] == '{"cut'
    assert measure.Row.from_json(lines[2]).subject == "after"
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not a row"):
        measure.read_rows(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": float("nan")},
        {"high": float("inf")},
        {"low": 2.5},
        {"high": 1.5},
        {"p99": float("nan")},
        {"extra": {"error": float("nan")}},
        {"repeats": 0},
        {"threads": 0},
    ],
)
def test_figures_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match="engine/limbeck int8"):
        row(**changes)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1}', "nonsense"])
def test_lines_that_are_no_rows_are_refused(line: str) -> None:
    with pytest.raises(InputError, match="not a row"):
        measure.Row.from_json(line)


def test_a_timed_row_carries_the_timing() -> None:
    timing = measure.Timing(rounds=((0.001, 0.002), (0.003,)))
    made = measure.Row.timed(timing, run="r", benchmark="b", subject="s", workload={})
    assert (made.unit, made.value, made.repeats) == ("ms", pytest.approx(2.0), 3)
    assert made.p99 == pytest.approx(timing.p99_ms)


def test_cpuinfo_of_both_families() -> None:
    x86 = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n"
    name, isa = _cpuinfo(x86 + "flags\t\t: fpu avx2 avx512f avx512_vnni\n")
    assert name == "AMD EPYC (family 26, model 2)"
    assert isa == ("avx2", "avx512f", "avx512_vnni")
    name, isa = _cpuinfo("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    assert name
    assert isa == ("asimddp", "i8mm")
    assert _cpuinfo("")[1] == ()


def test_quota_is_read_from_the_cgroup(tmp_path: Path) -> None:
    assert _quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n", encoding="ascii")
    assert _quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n", encoding="ascii")
    assert _quota(tmp_path) is None


def test_versions_leave_out_what_is_absent() -> None:
    found = measure.versions(["numpy", "no-such-package-of-ours"])
    assert set(found) == {"numpy"}


def test_commit_outside_a_checkout_is_unknown(tmp_path: Path) -> None:
    assert measure.commit(tmp_path) == "unknown"

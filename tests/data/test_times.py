"""Recorded moments from files."""

from __future__ import annotations

import pytest

from limbeck.data import Timed, read_times
from limbeck.errors import InputError


def test_csv_and_jsonl(tmp_path) -> None:
    rows = tmp_path / "log.csv"
    rows.write_text('"Time",text\n1.5,one\n0.25,"two, three"\n', encoding="utf-8")
    assert list(read_times(rows, text_column="text")) == [
        Timed(time_s=1.5, text="one", line=2),
        Timed(time_s=0.25, text="two, three", line=3),
    ]
    lines = tmp_path / "log.jsonl"
    lines.write_text('{"ts": 3, "q": "a"}\n{"ts": "4.5", "q": "b"}\n', encoding="utf-8")
    assert [row.time_s for row in read_times(lines)] == [3.0, 4.5]
    only = tmp_path / "only.csv"
    only.write_text("seconds\n7\n", encoding="utf-8")
    assert [row.time_s for row in read_times(only)] == [7.0]


def test_dates(tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"at": "1970-01-01T00:00:10"}\n{"at": "1970-01-01T01:00:11.5+01:00"}\n'
        '{"at": "1970-01-01T00:00:12Z"}\n'
    )
    assert [row.time_s for row in read_times(path)] == [10.0, 11.5, 12.0]


def test_bad_rows_are_named(tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"at": 1}\n{"at": "soon"}\n{"at": null}\n{"at": true}\n{"x": 1}\nno\n{"at": 1e999}\n'
        '{"at": 2}\n'
    )
    with pytest.raises(InputError) as raised:
        list(read_times(path))
    for line in (2, 3, 4, 5, 6, 7):
        assert f"log.jsonl:{line}: " in str(raised.value)
    told: list[str] = []
    assert [row.time_s for row in read_times(path, report=told.append)] == [1.0, 2.0]
    assert len(told) == 6


def test_files_that_cannot_be_used(tmp_path) -> None:
    with pytest.raises(InputError, match="not there"):
        list(read_times(tmp_path / "no.csv"))
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column looks like a time"):
        list(read_times(path))
    with pytest.raises(InputError, match="there is no 'c'"):
        list(read_times(path, time_column="c"))
    path.write_bytes(b"time,text\n1,\xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        list(read_times(path, text_column="text"))
    path.write_text("")
    with pytest.raises(InputError, match="no header line"):
        list(read_times(path))
    other = tmp_path / "log.parquet"
    other.write_bytes(b"")
    with pytest.raises(InputError, match="CSV or JSONL"):
        list(read_times(other))

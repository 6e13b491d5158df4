"""students: a table, JSON, limits."""

from __future__ import annotations

import json

import pytest

from limbeck.cli import main
from limbeck.forge import shapes

SMALL = tuple(
    shapes.StudentShape(name=f"{n}x32", layers=n, hidden=32, heads=2, ffn=64, vocab=9000 * n)
    for n in (1, 8)
)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(shapes, "PUBLISHED", SMALL)
    monkeypatch.setattr(shapes, "grid", lambda: ())
    monkeypatch.setenv("COLUMNS", "160")


def _run(capsys, *arguments: str) -> str:
    assert main.run(["students", "--rounds", "1", *arguments]) == 0
    return capsys.readouterr().out


def test_all_shapes(capsys):
    out = _run(capsys)
    assert "1x32" in out
    assert "8x32" in out
    assert "1 x 128 tokens, all CPUs" in out
    assert "do not keep" not in out


def test_limits_and_targets(capsys):
    out = _run(capsys, "--max-mb", "1", "--target", "edge", "--tokens", "16")
    assert "1x32" in out
    assert "8x32" not in out
    assert "1 of 2 shapes do not keep the limits" in out
    found = json.loads(_run(capsys, "--json", "--target", "cloud", "--max-ms", "0"))
    assert (found["batch"], found["threads"]) == (8, None)
    assert [one["fits"] for one in found["students"]] == [False, False]
    times = [one["p50_ms"] for one in found["students"]]
    assert times == sorted(times)
    parameters = {one["name"]: one["parameters"] for one in found["students"]}
    assert parameters == {shape.name: shape.parameters for shape in SMALL}


def test_bad_options(capsys):
    assert main.run(["students", "--tokens", "0"]) == 2
    assert main.run(["students", "--target", "moon"]) == 2

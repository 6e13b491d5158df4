"""The gate: what decides, and that it fails closed."""

from __future__ import annotations

import dataclasses

import pytest

from limbeck.errors import InputError
from limbeck.evaluation import Comparison, Interval, Limits, Verdict, judge

NAN = float("nan")


def lost(value, high=None, parts=()):
    def drop(points, top=None):
        top = points if top is None else top
        return Interval(value=points / 100, low=(points - 1) / 100, high=top / 100)

    return Comparison(
        metric="accuracy",
        rows=100,
        first=0.9,
        second=0.9 - value / 100,
        drop=drop(value, high),
        slices={name: (20, drop(points)) for name, points in dict(parts).items()},
    )


@pytest.mark.parametrize(
    ("comparison", "limits", "problems"),
    [
        (lost(1.0), Limits(max_drop=1.0), []),
        (lost(1.001), Limits(max_drop=1.0), ["all rows: loses 1.00 points of accuracy, and 1 are"]),
        (lost(-3.0), Limits(max_drop=0.0), []),
        (lost(0.5, high=1.4), Limits(max_drop=1.0), []),
        (
            lost(0.5, high=1.4),
            Limits(max_drop=1.0, strict=True),
            ["all rows: may lose up to 1.40 points"],
        ),
        (lost(0.5, high=0.9), Limits(max_drop=1.0, strict=True), []),
        (lost(0.5, parts={"label=x": 9}), Limits(max_drop=1.0), []),
        (
            lost(2.0, parts={"label=x": 9, "label=y": 1}),
            Limits(max_drop=1.0, max_slice_drop=3.0),
            ["all rows: loses 2.00", "label=x: loses 9.00 points of accuracy, and 3 are allowed"],
        ),
        (lost(NAN), Limits(max_drop=1.0), ["all rows: loses an unknown number of points"]),
        (lost(0.1, high=NAN), Limits(max_drop=1.0, strict=True), ["unknown number"]),
        (
            lost(0.1, parts={"label=x": NAN}),
            Limits(max_drop=1.0, max_slice_drop=3.0),
            ["label=x: loses an unknown number"],
        ),
    ],
)
def test_what_decides(comparison, limits, problems):
    verdict = judge(comparison, limits)
    assert verdict.passed == (not problems)
    assert len(verdict.problems) == len(problems)
    for said, wanted in zip(verdict.problems, problems, strict=True):
        assert wanted in said


def test_what_was_not_judged_is_named():
    limits = Limits(max_drop=1.0, max_slice_drop=3.0)
    some = dataclasses.replace(lost(0.1, parts={"label=x": 0}), left_out={"label=y": 9, "a": 30})
    verdict = judge(some, limits)
    assert verdict.passed
    assert verdict.not_judged == {"label=y": 9, "a": 30}
    assert verdict.warnings == (
        "slices of fewer than 10 rows were not judged: label=y (9)",
        "of more than 20 classes none was compared: a (30)",
    )
    assert judge(some, Limits(max_drop=1.0)) == Verdict(passed=True)
    many = dataclasses.replace(some, left_out={f"label={n}": 1 for n in range(30)})
    (said,) = judge(many, limits).warnings
    assert said.endswith("label=19 (1) and 10 more")


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ({}, "no slice could be judged, for each has fewer than 10 rows"),
        ({"label=x": 3}, "no slice could be judged, for each has fewer than 10 rows"),
        ({"label=x": 30}, "no slice could be judged; compare every class"),
    ],
)
def test_a_limit_on_slices_needs_one(left_out, message):
    none = dataclasses.replace(lost(0.1), left_out=left_out)
    assert judge(none, Limits(max_drop=1.0)).passed
    verdict = judge(none, Limits(max_drop=1.0, max_slice_drop=3.0))
    assert not verdict.passed
    assert message in verdict.problems[0]


@pytest.mark.parametrize(
    "fields", [{"max_drop": -1}, {"max_drop": NAN}, {"max_drop": 1, "max_slice_drop": -1}]
)
def test_limits_that_make_no_sense(fields):
    with pytest.raises(InputError, match="must be a number of points"):
        Limits(**fields)

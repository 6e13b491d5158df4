"""Fields that protocols share: every wrong type is refused, and says where."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.serve.protocols import fields
from limbeck.serve.protocols.base import Call
from limbeck.serve.refused import RefusedError
from limbeck.serve.settings import LimitSettings

LIMITS = LimitSettings(rows=3, characters=10, max_timeout_ms=5000)


def call(**headers: str) -> Call:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call(
        method="POST", path={}, query={}, headers=names, body=b"", arrived_s=0.0, request_id="r"
    )


def refused(function: Any, *args: Any, **options: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        function(*args, **options)
    return caught.value


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        (None, None, None),
        (None, 1500, 1.5),
        (None, 0.5, 0.0005),
        ("250", None, 0.25),
        ("250.5", None, 0.2505),
        ("250", 1000, 1.0),  # the body wins
    ],
)
def test_timeouts(header: str | None, value: Any, expected: float | None) -> None:
    given = call() if header is None else call(x_request_timeout_ms=header)
    assert fields.timeout_s(given, value, limits=LIMITS) == pytest.approx(expected)


def test_microseconds() -> None:
    found = fields.timeout_s(call(), 1000, limits=LIMITS, where="timeout", unit_s=1e-6)
    assert found == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        (None, 0, "deadline"),
        (None, 0.0, "deadline"),
        ("0", None, "deadline"),
        (None, -1, "bad_request"),
        ("-5", None, "bad_request"),
        (None, 5001, "bad_request"),
        (None, 10**4000, "bad_request"),
        (None, float("nan"), "bad_request"),
        (None, float("inf"), "bad_request"),
        (None, True, "bad_request"),
        (None, "250", "bad_request"),
        (None, [250], "bad_request"),
        ("soon", None, "bad_request"),
        ("nan", None, "bad_request"),
        ("1e3", None, "bad_request"),
        ("", None, "bad_request"),
        ("١٢", None, "bad_request"),
    ],
)
def test_timeouts_that_are_none(header: str | None, value: Any, reason: str) -> None:
    given = call() if header is None else call(x_request_timeout_ms=header)
    error = refused(fields.timeout_s, given, value, limits=LIMITS)
    assert error.reason == reason
    assert ("X-Request-Timeout-Ms" if header is not None else "timeout_ms") in error.message
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("high", 0), ("normal", 1), ("low", 2), ("background", 3), (0, 0), (3, 3)],
)
def test_priorities(value: Any, expected: int | None) -> None:
    assert fields.priority(value) == expected


@pytest.mark.parametrize("value", [4, -1, True, 1.0, "1", "High", [], {}])
def test_priorities_that_are_none(value: Any) -> None:
    assert refused(fields.priority, value).reason == "bad_request"


def test_a_misspelt_priority_is_named() -> None:
    assert "'background'" in refused(fields.priority, "backgroud").message


def test_objects() -> None:
    assert fields.an_object({"a": 1}, "the body", known=("a", "b")) == {"a": 1}
    for value in ([], "x", None, 1, True):
        assert "must be an object" in refused(fields.an_object, value, "the body").message
    error = refused(fields.an_object, {"input": 1}, "the body", known=("inputs", "parameters"))
    assert "did you mean 'inputs'?" in error.message
    error = refused(fields.an_object, {"x" * 500: 1}, "the body", known=("inputs",))
    assert len(error.message) < 200
    assert "lacks" in refused(fields.an_object, {}, "the body", required=("inputs",)).message


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (fields.a_string, [1, None, True, [], {}]),
        (fields.a_boolean, [0, 1, "true", None, []]),
        (fields.a_list, ["ab", {}, None, 1]),
    ],
)
def test_types_are_strict(check: Any, bad: list[Any]) -> None:
    for value in bad:
        error = refused(check, value, "the field")
        assert error.reason == "bad_request"
        assert error.message.startswith("the field must be ")


def test_integers_are_strict() -> None:
    assert fields.an_integer(3, "n", lowest=1, highest=3) == 3
    for value in (True, 1.0, "1", None, 0, 4, 10**300):
        assert refused(fields.an_integer, value, "n", lowest=1, highest=3).reason == "bad_request"


@pytest.mark.parametrize("value", ["", "../x", "a/b", ".a", "a b", "a" * 129, "a\n", "é", "a%2F"])
def test_names_that_cannot_exist(value: str) -> None:
    assert refused(fields.a_name, value, "model").reason == "bad_request"


@pytest.mark.parametrize("value", ["a", "MiniLM-L6_v2.1", "9", "a" * 128])
def test_names(value: str) -> None:
    assert fields.a_name(value, "model") == value


def test_parameters() -> None:
    assert fields.parameters(None) == {}
    assert fields.parameters({"top_k": 1}) == {"top_k": 1}
    assert refused(fields.parameters, []).reason == "bad_request"


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, True), ("no-cache", False), ("max-age=0, No-Store", False), ("public", True)],
)
def test_cache_control(header: str | None, expected: bool) -> None:
    given = call() if header is None else call(cache_control=header)
    assert fields.use_cache(given) is expected


def test_limits() -> None:
    fields.within_limits(["abc", {"text": "abc", "text_pair": "abcd"}], LIMITS)
    for inputs in (["a"] * 4, ["a" * 11], [{"question": "a" * 6, "context": "b" * 5}]):
        assert refused(fields.within_limits, inputs, LIMITS).reason == "too_large"

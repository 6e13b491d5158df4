"""JSON bodies: what is read, what is refused and in which words, and numpy on the way out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.serve.json_body import dump, parse
from limbeck.serve.refused import RefusedError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(item) for item in value), default=0)
    return 0


@settings(deadline=None)
@given(JSON, st.integers(0, 6), st.booleans())
def test_depth_is_exact_whatever_strings_hold(value: object, depth: int, escape: bool) -> None:
    body = json.dumps(value, ensure_ascii=escape).encode("utf-8")
    if depth_of(value) <= depth:
        assert parse(body, depth=depth) == value
    else:
        with pytest.raises(RefusedError, match="nests deeper"):
            parse(body, depth=depth)


def test_brackets_in_strings_do_not_nest() -> None:
    body = rb'{"text": "[[[[[{{{{{ \" [[[[ \\", "more": ["\\\"{{{{{{{{{{"]}'
    assert parse(body, depth=2)["more"] == ['\\"{{{{{{{{{{']


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "body is empty"),
        (b" \r\n\t", "body is empty"),
        (b'{"a": \xff}', "not UTF-8 at byte 6"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        (b'["\\ud800"]', "no JSON"),
        (b'{"a": NaN}', r"no JSON.*line 1, column 7"),
        (b"[Infinity]", "no JSON"),
        (b"[1e999]", "no JSON"),
        (b'{"a":\n 1,}', "line 2"),
        (b"[" * 100_000, "nests deeper than 32"),
        (b'{"a":' * 100_000, "nests deeper than 32"),
        (b"[]]", "no JSON"),
    ],
)
def test_refused(body: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        parse(body, depth=32)
    assert caught.value.reason == "bad_request"


def test_the_last_of_two_equal_keys_counts() -> None:
    assert parse(b'{"a": 1, "a": 2}', depth=1) == {"a": 2}


def test_numpy_is_written_as_numbers() -> None:
    value = {
        "scalar": np.float32(0.1),
        "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "half": np.array([0.5], dtype=np.float16),
        "count": np.int64(7),
        "yes": np.bool_(True),
    }
    assert json.loads(dump(value)) == {
        "scalar": 0.1,
        "rows": [[0, 1, 2], [3, 4, 5]],
        "columns": [[0, 3], [1, 4], [2, 5]],
        "half": [0.5],
        "count": 7,
        "yes": True,
    }


def test_what_json_cannot_hold_is_a_bug_of_ours() -> None:
    with pytest.raises(TypeError):
        dump({"a": object()})

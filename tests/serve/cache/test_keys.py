"""Keys: equal for what gives the same answer, different for everything else."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import limbeck
from limbeck.errors import InputError
from limbeck.serve.cache import Keys, RowKeys
from limbeck.serve.cache.keys import KEY_BYTES, canonical

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    PLAIN.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def model(zoo):
    return limbeck.load(str(zoo("bert", "text-classification")))


@pytest.fixture(scope="module")
def keys(model):
    return Keys(limbeck.pipeline("text-classification", model))


def _same(one, other):
    """Equal as JSON is: 1, 1.0 and true are three values, and so are 0.0 and -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


@given(JSON, JSON)
def test_one_spelling_for_each_value(one, other):
    assert (canonical(one) == canonical(other)) == _same(one, other)


@given(st.dictionaries(st.text(), PLAIN.filter(lambda it: it not in (float("inf"), -float("inf")))))
def test_order_does_not_count(value):
    assert canonical(value) == canonical(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [float("nan"), {"a": object()}, {1: 2, "a": 3}, b"x", {1, 2}])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(InputError, match="no JSON value"):
        canonical(value)


def test_what_never_ends_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(InputError):
        canonical(loop)


ROW = (
    st.text()
    | st.fixed_dictionaries({"text": st.text(), "text_pair": st.none() | st.text()})
    | st.fixed_dictionaries({"question": st.text(), "context": st.text()})
)


@given(st.lists(st.tuples(st.binary(), st.text(), ROW), min_size=2, max_size=2))
def test_scope_tenant_and_row_all_count(places):
    found = [RowKeys(scope, tenant)(row) for scope, tenant, row in places]
    assert (found[0] == found[1]) == (places[0] == places[1])


def test_parts_do_not_run_into_one_another():
    assert RowKeys(b"ab")("c") != RowKeys(b"a")("bc")
    pair = RowKeys(b"")({"text": "a", "text_pair": "b"})
    assert pair not in (RowKeys(b"")("ab"), RowKeys(b"")({"text": "ab", "text_pair": ""}))
    assert RowKeys(b"")('{"text":"a"}') != RowKeys(b"")({"text": "a"})


def test_a_row_may_be_any_mapping():
    row = {"question": "where?", "context": "here"}
    assert RowKeys(b"")(MappingProxyType(row)) == RowKeys(b"")(row)


def test_size_and_the_shared_part():
    alone, tenant = RowKeys(b"s"), RowKeys(b"s", "acme")
    assert len(alone("x")) == KEY_BYTES
    assert tenant("x")[:KEY_BYTES] == alone("x")
    assert len(tenant("x")) > KEY_BYTES


def test_lone_surrogates_have_keys_too():
    assert RowKeys(b"")("\ud83d") != RowKeys(b"")("\ud83e")


def test_options_by_what_they_mean(keys):
    assert keys.under()("x") == keys.under({"top_k": "top"})("x") == keys.under({})("x")
    assert keys.under({"top_k": 2})("x") != keys.under({"top_k": 3})("x")
    both = {"top_k": 2, "truncation": False}
    assert keys.under(both)("x") == keys.under(dict(reversed(both.items())))("x")


@pytest.mark.parametrize(
    "options", [{"batch_size": 3}, {"max_batch_tokens": 64}, {"padding": True}]
)
def test_what_changes_speed_alone_does_not_count(keys, options):
    assert keys.under(options)("x") == keys.under()("x")


def test_defaults_of_the_pipeline_count(model, keys):
    other = Keys(limbeck.pipeline("text-classification", model, top_k=2))
    assert other.under()("x") == keys.under({"top_k": 2})("x")
    assert other.under()("x") != keys.under()("x")


def test_bad_options_are_the_pipelines_errors(keys):
    for _ in range(2):  # also when asked again
        with pytest.raises(InputError, match="no option 'nonsense'"):
            keys.under({"nonsense": 1})
        with pytest.raises(InputError, match="top_k"):
            keys.under({"top_k": -1})


def test_how_it_is_computed_counts(zoo, model, keys):
    small = limbeck.load(str(zoo("bert", "text-classification")), precision="int8")
    assert small.digest == model.digest
    others = [
        Keys(limbeck.pipeline("text-classification", small)),
        Keys(limbeck.pipeline("text-classification", model), runtime="onnxruntime"),
        Keys(limbeck.pipeline("text-classification", model), device="cuda"),
        Keys(limbeck.pipeline("feature-extraction", model)),
    ]
    found = {one.under()("x") for one in [keys, *others[:3]]}
    assert len(found) == 4
    assert others[3].under()("x") not in found  # other options


def test_another_model_another_key(zoo, keys):
    other = Keys(
        limbeck.pipeline("text-classification", str(zoo("roberta", "text-classification")))
    )
    assert other.under()("x") != keys.under()("x")


def test_kept_options_are_bounded(keys):
    for length in range(1, 160):
        for cut in (True, False, "longest_first"):
            keys.under({"max_length": length, "truncation": cut})
    assert len(keys._kept) <= 256
    assert keys.under({"max_length": 5})("x") == keys.under({"max_length": 5})("x")

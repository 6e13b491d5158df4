"""Shares in tokens: what may pass in a stretch of time, and who is charged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cachetools")

from limbeck.serve.rates import BURST_S, Rates
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import ANYBODY, Tenant

ACME = Tenant(name="acme", tokens_per_s=10.0, burst_tokens=100.0)


def test_a_burst_then_the_rate():
    rates = Rates()
    assert rates.charge(ACME, "", 60, 0.0) is None
    assert rates.charge(ACME, "", 40, 0.0) is None
    assert rates.charge(ACME, "", 5, 0.0) == pytest.approx(0.5)
    assert rates.charge(ACME, "", 5, 0.4) == pytest.approx(0.1)  # refused ones cost nothing
    assert rates.charge(ACME, "", 5, 0.5) is None
    assert rates.charge(ACME, "", 100, 1000.0) is None  # no more than the burst is saved
    assert rates.charge(ACME, "", 1, 1000.0) == pytest.approx(0.1)


def test_no_limit_where_none_is_set():
    rates = Rates()
    assert rates.charge(Tenant(name="free"), "", 10**12, 0.0) is None
    assert rates.charge(ANYBODY, "1.2.3.4", 10**12, 0.0) is None
    rates.refund(ANYBODY, "1.2.3.4", 5)
    assert rates.buckets == 0


def test_a_burst_of_its_own():
    rates = Rates(tokens_per_s=10.0)
    assert rates.charge(ANYBODY, "1.2.3.4", int(10 * BURST_S), 0.0) is None
    assert rates.charge(ANYBODY, "1.2.3.4", 1, 0.0) == pytest.approx(0.1)


def test_more_than_ever_fits_is_said():
    rates = Rates(tokens_per_s=1.0, burst_tokens=50.0)
    with pytest.raises(RefusedError, match="101 tokens, and this key's share allows 100") as caught:
        rates.charge(ACME, "", 101, 0.0)
    assert caught.value.reason == "too_large"
    with pytest.raises(RefusedError, match="a client's share allows 50"):
        rates.charge(ANYBODY, "1.2.3.4", 51, 0.0)
    assert rates.charge(ACME, "", 100, 0.0) is None  # that cost nothing


def test_everybody_has_an_own_bucket():
    rates = Rates(tokens_per_s=1.0, burst_tokens=10.0)
    other = Tenant(name="other", tokens_per_s=1.0, burst_tokens=10.0)
    named_like_an_address = Tenant(name="1.2.3.4", tokens_per_s=1.0, burst_tokens=10.0)
    for tenant, address in (
        (other, "1.2.3.4"),
        (named_like_an_address, "5.6.7.8"),
        (ANYBODY, "1.2.3.4"),
        (ANYBODY, "1.2.3.5"),
    ):
        assert rates.charge(tenant, address, 10, 0.0) is None
        assert rates.charge(tenant, address, 1, 0.0) is not None
    assert rates.charge(other, "9.9.9.9", 1, 0.0) is not None  # a key counts wherever it is used


def test_addresses_of_one_client():
    rates = Rates(tokens_per_s=1.0, burst_tokens=10.0)
    assert rates.charge(ANYBODY, "2001:db8::1", 10, 0.0) is None
    assert rates.charge(ANYBODY, "2001:db8::ffff:2%eth0", 1, 0.0) is not None
    assert rates.charge(ANYBODY, "2001:db8:0:1::1", 10, 0.0) is None
    assert rates.charge(ANYBODY, "::ffff:1.2.3.4", 10, 0.0) is None
    assert rates.charge(ANYBODY, "1.2.3.4", 1, 0.0) is not None
    assert rates.charge(ANYBODY, "a:socket", 10, 0.0) is None
    assert rates.charge(ANYBODY, "a:socket", 1, 0.0) is not None


def test_refunds_fill_no_further_than_the_brim():
    rates = Rates()
    rates.refund(ACME, "", 50)  # of a bucket that is not there
    rates.charge(ACME, "", 100, 0.0)
    rates.refund(ACME, "", 30)
    assert rates.charge(ACME, "", 30, 0.0) is None
    assert rates.charge(ACME, "", 1, 0.0) is not None
    rates.refund(ACME, "", 1000)
    assert rates.charge(ACME, "", 100, 0.0) is None
    assert rates.charge(ACME, "", 1, 0.0) is not None


def test_a_share_that_changes():
    rates = Rates()
    rates.charge(ACME, "", 0, 0.0)
    less = Tenant(name="acme", tokens_per_s=1.0, burst_tokens=5.0)
    assert rates.charge(less, "", 5, 0.0) is None
    assert rates.charge(less, "", 1, 0.0) == pytest.approx(1.0)


def test_the_number_of_addresses_is_bounded():
    rates = Rates(tokens_per_s=1.0, burst_tokens=10.0, addresses=100)
    rates.charge(ACME, "", 100, 0.0)
    for number in range(1000):
        rates.charge(ANYBODY, f"10.0.{number // 250}.{number % 250}", 10, 0.0)
        rates.charge(ANYBODY, "1.2.3.4", 10, 0.0)  # in use, so it is not forgotten
    assert rates.buckets == 101
    assert rates.charge(ANYBODY, "1.2.3.4", 1, 0.0) is not None
    assert rates.charge(ACME, "", 1, 0.0) is not None  # addresses never push out a key


STEPS = st.lists(
    st.tuples(st.floats(-50, 50), st.integers(0, 120), st.booleans()), min_size=1, max_size=60
)


@given(STEPS)
def test_no_clock_mints_or_loses_tokens(steps):
    """What passes, against one bucket that only ever knows the latest time; and in all no more
    than burst and rate allow between the first time and the latest."""
    rates = Rates()
    now, first, latest = 0.0, None, None
    level, passed = 100.0, 0
    for by, tokens, refused_later in steps:
        now += by
        first = now if first is None else first
        if tokens > 100:
            with pytest.raises(RefusedError):
                rates.charge(ACME, "", tokens, now)
            first = first if latest is not None else None
            continue
        ahead = 0.0 if latest is None else max(0.0, now - latest)
        latest = now if latest is None else max(latest, now)
        level = min(100.0, level + ahead * 10.0)
        wait_s = rates.charge(ACME, "", tokens, now)
        if abs(level - tokens) > 1e-6:
            assert (wait_s is None) == (tokens <= level)
        if wait_s is None:
            level -= tokens
            passed += tokens
            if refused_later:
                rates.refund(ACME, "", tokens)
                level = min(100.0, level + tokens)
                passed -= tokens
        else:
            assert wait_s == pytest.approx((tokens - level) / 10.0, abs=1e-6)
    if latest is not None:
        assert passed <= 100 + 10 * (latest - first) + 1e-3


@given(st.floats(0, 1e9), st.integers(1, 100), st.integers(1, 100))
def test_retry_after_is_enough(start, used, wanted):
    rates = Rates()
    rates.charge(ACME, "", used, start)
    wait_s = rates.charge(ACME, "", wanted, start)
    if wait_s is not None:
        assert rates.charge(ACME, "", wanted, start + wait_s + 1e-6) is None

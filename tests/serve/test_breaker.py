"""The breaker against a naive model of it, and single stories."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

pytest.importorskip("pydantic")

from limbeck.serve.breaker import SLICES, Breaker
from limbeck.serve.settings import BreakerSettings


def _settings(**changes):
    return BreakerSettings(
        **{"window_s": 10.0, "min_requests": 4, "open_s": 5.0, "probes": 2, **changes}
    )


def _ask(breaker, now, outcome):
    permit = breaker.allow(now)
    assert permit is not None
    breaker.record(now, outcome, permit)


def _opened(breaker, now=0.0):
    for _ in range(4):
        _ask(breaker, now, "error")
    assert breaker.state == "open"


def test_errors_open_it_and_probes_close_it():
    breaker = Breaker(_settings())
    _opened(breaker)
    assert breaker.allow(4.9) is None
    assert breaker.retry_after_s(2.0) == pytest.approx(3.0)
    first, second = breaker.allow(5.0), breaker.allow(5.0)
    assert breaker.state == "half_open"
    assert breaker.allow(5.0) is None
    assert breaker.retry_after_s(5.0) > 0
    breaker.record(5.1, "ok", first)
    assert breaker.state == "half_open"
    assert breaker.allow(5.1) is None  # as many as there are probes, no more
    breaker.record(5.2, "ok", second)
    assert breaker.state == "closed"
    assert breaker.retry_after_s(5.2) == 0
    assert breaker.opened == 1
    for _ in range(3):  # the window begins anew
        _ask(breaker, 5.3, "error")
    assert breaker.state == "closed"
    _ask(breaker, 5.3, "error")
    assert breaker.state == "open"


@pytest.mark.parametrize("outcome", ["error", "slow"])
def test_a_bad_probe_opens_it_again(outcome):
    breaker = Breaker(_settings())
    _opened(breaker)
    first, second = breaker.allow(5.0), breaker.allow(5.0)
    breaker.record(6.0, outcome, first)
    assert breaker.state == "open"
    breaker.record(6.0, "ok", second)  # too late to say anything
    assert breaker.allow(10.9) is None
    assert breaker.allow(11.0) is not None
    assert breaker.opened == 2


def test_a_cancelled_probe_is_free_for_another():
    breaker = Breaker(_settings(probes=1))
    _opened(breaker)
    for _ in range(5):
        permit = breaker.allow(5.0)
        assert permit is not None
        assert breaker.allow(5.0) is None
        breaker.release(permit)
    _ask(breaker, 5.0, "ok")
    assert breaker.state == "closed"


def test_what_was_begun_before_does_not_count():
    breaker = Breaker(_settings())
    old = [breaker.allow(0.0) for _ in range(20)]
    _opened(breaker)
    for permit in old[:5]:
        breaker.record(1.0, "error", permit)
    probe = breaker.allow(5.0)
    for permit in old[5:10]:
        breaker.record(5.0, "error", permit)
        breaker.release(permit)
    assert breaker.state == "half_open"
    breaker.record(5.0, "ok", probe)
    _ask(breaker, 5.0, "ok")
    for permit in old[10:]:
        breaker.record(5.0, "error", permit)
    assert breaker.state == "closed"


def test_slow_answers_have_a_share_of_their_own():
    breaker = Breaker(_settings(error_rate=0.5, slow_rate=0.75))
    for outcome in ("slow", "error", "slow", "ok"):  # neither alone is enough
        _ask(breaker, 0.0, outcome)
    assert breaker.state == "closed"
    breaker = Breaker(_settings(error_rate=1.0, slow_rate=0.75))
    for outcome in ("slow", "slow", "ok", "slow"):
        _ask(breaker, 0.0, outcome)
    assert breaker.state == "open"


def test_few_requests_decide_nothing():
    breaker = Breaker(_settings(min_requests=20))
    for now in range(100):  # of one window at most ten
        _ask(breaker, float(now), "error")
    assert breaker.state == "closed"


def test_switched_off():
    breaker = Breaker(_settings(enabled=False))
    for _ in range(100):
        _ask(breaker, 0.0, "error")
    assert breaker.state == "closed"


def test_a_clock_that_runs_back_opens_nothing_early():
    breaker = Breaker(_settings())
    _opened(breaker, now=100.0)
    assert breaker.allow(0.0) is None
    assert breaker.retry_after_s(0.0) == pytest.approx(5.0)
    assert breaker.allow(104.9) is None
    assert breaker.allow(105.0) is not None


def test_memory_does_not_grow_with_requests():
    breaker = Breaker(_settings(min_requests=10**6))
    _ask(breaker, 0.0, "ok")
    tracemalloc.start()
    try:
        for number in range(30_000):
            _ask(breaker, number / 1000, "error")
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


class Naive(RuleBasedStateMachine):
    """Keeps every outcome with its time, and counts anew at each question."""

    @initialize(
        probes=st.integers(1, 3), minimum=st.integers(1, 6), rate=st.sampled_from([0.2, 0.5, 1.0])
    )
    def begin(self, probes, minimum, rate):
        self.settings = _settings(
            probes=probes, min_requests=minimum, error_rate=rate, slow_rate=rate
        )
        self.breaker = Breaker(self.settings)
        self.now = 0.0
        self.state = "closed"
        self.outcomes: list[tuple[float, str]] = []
        self.opened_s = 0.0
        self.good = 0
        self.out: dict[int, bool] = {}  # requests on their way -> whether they are of this state
        self.permits: dict[int, object] = {}
        self.count = 0

    def _become(self, state):
        self.state = state
        self.good = 0
        self.outcomes = []
        self.out = dict.fromkeys(self.out, False)
        if state == "open":
            self.opened_s = self.now

    @rule(by=st.sampled_from([0.0, 0.3, 1.0, 4.0, 5.0, 12.0]))
    def wait(self, by):
        self.now += by

    @rule()
    def ask(self):
        permit = self.breaker.allow(self.now)
        if self.state == "open" and self.now >= self.opened_s + 5.0:
            self._become("half_open")
        probes = sum(self.out.values()) + self.good
        allowed = self.state == "closed" or (
            self.state == "half_open" and probes < self.settings.probes
        )
        assert (permit is not None) == allowed
        if allowed:
            self.out[self.count], self.permits[self.count] = True, permit
            self.count += 1

    @rule(data=st.data(), outcome=st.sampled_from(["ok", "error", "slow", "released"]))
    def end(self, data, outcome):
        if not self.out:
            return
        number = data.draw(st.sampled_from(sorted(self.out)))
        counts = self.out.pop(number)
        permit = self.permits.pop(number)
        if outcome == "released":
            self.breaker.release(permit)
            return
        self.breaker.record(self.now, outcome, permit)
        if not counts:
            return
        if self.state == "half_open":
            if outcome != "ok":
                self._become("open")
                return
            self.good += 1
            if self.good == self.settings.probes:
                self._become("closed")
            return
        self.outcomes.append((self.now, outcome))
        step = self.settings.window_s / SLICES
        since = (int(self.now / step) - SLICES + 1) * step
        window = [what for when, what in self.outcomes if when >= since]
        if len(window) >= self.settings.min_requests and (
            window.count("error") >= self.settings.error_rate * len(window)
            or window.count("slow") >= self.settings.slow_rate * len(window)
        ):
            self._become("open")

    @invariant()
    def agrees(self):
        if hasattr(self, "breaker"):
            assert self.breaker.state == self.state
            wait_s = self.breaker.retry_after_s(self.now)
            if self.state == "open":
                assert wait_s == pytest.approx(max(0.0, self.opened_s + 5.0 - self.now))
            else:
                assert (wait_s == 0) == (self.state == "closed")


TestNaive = Naive.TestCase
TestNaive.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)

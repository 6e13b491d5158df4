"""What the HTTP layer tells becomes counts that add up."""

from __future__ import annotations

from typing import get_args

import pytest

from limbeck.serve.counting import Counting
from limbeck.serve.http import watching
from limbeck.serve.metrics import OUTCOMES, Metrics
from limbeck.serve.refused import Reason
from requests_ended import ended


def lines(metrics: Metrics) -> list[str]:
    return metrics.exposition()[0].decode().splitlines()


@pytest.mark.parametrize("outcome", ["answered", "gone", *get_args(Reason)])
def test_every_end_is_counted_once(outcome: str) -> None:
    metrics = Metrics([("a", "1")])
    counting = Counting(metrics)
    counting.began()
    counting.began()
    counting.ended(ended(outcome=outcome))
    name = {"answered": "ok", "gone": "cancelled"}.get(outcome, outcome)
    assert name in OUTCOMES
    labels = f'model="a",outcome="{name}",protocol="own",version="1"'
    found = lines(metrics)
    assert f"limbeck_requests_total{{{labels}}} 1.0" in found
    assert "limbeck_requests_received_total 2.0" in found
    assert "limbeck_requests_in_flight 1.0" in found


def test_all_outcomes_of_the_http_layer_are_known() -> None:
    words, reasons = get_args(watching.Outcome)[:2], get_args(Reason)
    flat = {one for word in get_args(watching.Outcome) for one in (get_args(word) or (word,))}
    assert flat == {"answered", "gone", *reasons}, words


def test_answers_are_split_and_refusals_are_timed() -> None:
    metrics = Metrics([("a", "1")])
    counting = Counting(metrics)
    counting.began()
    counting.ended(ended())
    counting.began()
    counting.ended(ended(outcome="overloaded", status=429, seconds=0.0004))
    found = lines(metrics)
    assert 'limbeck_inference_duration_seconds_sum{model="a",version="1"} 0.3' in found
    assert 'limbeck_refusal_duration_seconds_sum{outcome="overloaded"} 0.0004' in found
    assert 'limbeck_request_duration_seconds_count{model="a",version="1"} 1.0' in found


def test_a_request_without_a_model_is_counted_too() -> None:
    metrics = Metrics([("a", "1")])
    counting = Counting(metrics)
    counting.began()
    counting.ended(ended(noted={}, protocol="", route="", outcome="not_found", status=404))
    labels = 'model="",outcome="not_found",protocol="",version=""'
    assert f"limbeck_requests_total{{{labels}}} 1.0" in lines(metrics)

"""Trace context as the W3C has it, and spans as OpenTelemetry has them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.serve.tracing import Tracing, parse, trace_id
from requests_ended import TIMING, ended

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("sampled", [True, False])
def test_what_comes_goes_back_as_it_came(sampled: bool) -> None:
    parent = PARENT if sampled else PARENT[:-1] + "0"
    headers = {"traceparent": parent}
    context = parse(headers)
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (TRACE, SPAN, sampled)
    assert context.traceparent == parent
    assert trace_id(headers) == TRACE


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "\n",
        PARENT + "-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"{PARENT}, {PARENT}",
    ],
)
def test_what_is_malformed_is_none(bad: str) -> None:
    headers = {"traceparent": bad}
    assert parse(headers) is None
    assert trace_id(headers) is None


def test_later_versions_may_say_more() -> None:
    context = parse({"traceparent": f"01-{TRACE}-{SPAN}-03-more"})
    assert context is not None
    assert context.traceparent == PARENT


@given(st.text())
def test_any_header_is_read_or_not(text: str) -> None:
    context = parse({"traceparent": text})
    assert context is None or parse({"traceparent": context.traceparent}) == context


class Spans:
    """Tracing into memory."""

    def __init__(self) -> None:
        pytest.importorskip("opentelemetry.sdk")
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(processor=SimpleSpanProcessor(self._exporter))

    def of(self, request: Any) -> dict[str, Any]:
        self._exporter.clear()
        self.tracing.ended(request)
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def spans() -> Spans:
    return Spans()


def seconds(span: Any) -> float:
    return float((span.end_time - span.start_time) / 1e9)


def test_a_request_and_its_parts(spans: Spans) -> None:
    request = ended(headers={"traceparent": PARENT, "tracestate": "congo=t61rcWkgMzE"})
    found = spans.of(request)
    whole = found.pop("POST /v1/models/{name}/predict")
    assert set(found) == {"tokenize", "queue", "inference"}
    assert f"{whole.context.trace_id:032x}" == TRACE
    assert f"{whole.parent.span_id:016x}" == SPAN
    assert whole.context.trace_state.get("congo") == "t61rcWkgMzE"
    assert seconds(whole) == pytest.approx(0.36, abs=1e-6)
    for name, part in found.items():
        assert part.parent.span_id == whole.context.span_id
        assert part.context.trace_id == whole.context.trace_id
        assert seconds(part) == pytest.approx(getattr(TIMING, f"{name}_s"), abs=1e-6)
        assert whole.start_time <= part.start_time
        assert part.end_time <= whole.end_time
    assert found["tokenize"].end_time <= found["queue"].start_time
    assert found["queue"].end_time <= found["inference"].start_time
    assert whole.attributes["limbeck.model"] == "a"
    assert whole.attributes["limbeck.tokens"] == 30
    assert whole.attributes["http.response.status_code"] == 200
    assert whole.resource.attributes["service.name"] == "limbeck"


def test_a_protocol_may_know_the_trace(spans: Spans) -> None:
    request = ended(headers={"traceparent": "nonsense"}, noted={"traceparent": PARENT})
    whole = spans.of(request)["POST /v1/models/{name}/predict"]
    assert f"{whole.context.trace_id:032x}" == TRACE == request.noted["trace_id"]


def test_a_trace_of_its_own_is_told_to_the_log(spans: Spans) -> None:
    request = ended(headers={"traceparent": "nonsense"})
    found = spans.of(request)
    whole = found["POST /v1/models/{name}/predict"]
    assert whole.parent is None
    assert request.noted["trace_id"] == f"{whole.context.trace_id:032x}"


def test_what_failed_is_an_error_and_what_was_refused_is_not(spans: Spans) -> None:
    (failed,) = spans.of(ended(outcome="failed", status=500, noted={})).values()
    assert not failed.status.is_ok
    assert failed.attributes["error.type"] == "failed"
    (refused,) = spans.of(ended(outcome="rate_limited", status=429, noted={})).values()
    assert refused.status.is_unset
    (gone,) = spans.of(ended(outcome="gone", status=None, route="", noted={})).values()
    assert gone.name == "POST"
    assert "http.response.status_code" not in gone.attributes


def test_nothing_that_users_said_is_in_a_span(spans: Spans) -> None:
    request = ended()
    request.noted["inputs"] = ["Rosenweg 7"]  # type: ignore[index]
    for span in spans.of(request).values():
        assert "Rosenweg" not in span.to_json()


def test_without_the_library_the_extra_is_named() -> None:
    script = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from limbeck.serve.tracing import Tracing\n"
        "Tracing()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install 'limbeck[tracing]'" in done.stderr


def test_the_global_tracer_is_left_alone(spans: Spans) -> None:
    from opentelemetry import trace

    assert type(trace.get_tracer_provider()).__name__ != "TracerProvider"

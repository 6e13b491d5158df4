"""W3C trace context, and OpenTelemetry spans where they are switched on.

A request's spans are made when it has ended, of the times that were taken anyway: nothing is
measured twice, and what is not switched on costs nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import limbeck
from limbeck.errors import MissingExtraError
from limbeck.serve.request import Timing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from limbeck.serve.http.watching import Ended

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may add fields at the end.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """trace_id: 32 hex digits. span_id: 16, of whoever calls."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @property
    def traceparent(self) -> str:
        """The header's value, in version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse(headers: Mapping[str, str]) -> TraceContext | None:
    """The context that came with a request; None without one, or where it is malformed.

    headers: names in lower case.
    """
    given = headers.get("traceparent")
    if given is None:
        return None
    match = _TRACEPARENT.fullmatch(given)
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "00" and more:
        return None
    sampled = bool(int(flags, 16) & _SAMPLED)
    return TraceContext(trace_id=trace, span_id=span, sampled=sampled)


def trace_id(headers: Mapping[str, str]) -> str | None:
    """For the log."""
    context = parse(headers)
    return context.trace_id if context is not None else None


class Tracing:
    """Watches requests and makes spans: the request; in it tokenize, queue and inference.

    Where to send them, and which: OpenTelemetry's own environment variables, such as
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER.
    """

    def __init__(self, *, processor: SpanProcessor | None = None) -> None:
        """processor: None sends batches over OTLP.

        Raises:
            MissingExtraError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            if processor is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                processor = BatchSpanProcessor(OTLPSpanExporter())
        except ImportError as error:
            raise MissingExtraError("opentelemetry", "tracing") from error
        # The environment's say in the name of the service comes last.
        resource = Resource({"service.name": "limbeck"}).merge(OTELResourceDetector().detect())
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("limbeck.serve", limbeck.__version__)

    def began(self) -> None:
        """Nothing is known yet."""

    def ended(self, ended: Ended) -> None:
        """Its spans."""
        end_ns = time.time_ns()
        start_ns = end_ns - int(ended.seconds * 1e9)
        # Without a trace of the client's, a protocol may know one: a transaction's.
        told = {"traceparent": str(ended.noted.get("traceparent"))}
        context = next(
            (self._propagator.extract(one) for one in (ended.headers, told) if parse(one)), None
        )
        trace = self._trace
        name = f"{ended.method} {ended.route}" if ended.route else ended.method
        span = self._tracer.start_span(
            name,
            context=context or trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind.SERVER,
            attributes=_attributes(ended),
            start_time=start_ns,
        )
        found = span.get_span_context()
        if isinstance(ended.noted, dict):
            ended.noted["trace_id"] = f"{found.trace_id:032x}"
        if ended.status is not None and ended.status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        timing = ended.noted.get("timing")
        if isinstance(timing, Timing) and span.is_recording():
            self._parts(timing, start_ns, trace.set_span_in_context(span))
        span.end(end_ns)

    def _parts(self, timing: Timing, start_ns: int, parent: Any) -> None:
        """One after the other, the last ending with the answer; reading came before."""
        parts = {
            "tokenize": timing.tokenize_s,
            "queue": timing.queue_s,
            "inference": timing.inference_s,
        }
        at_ns = start_ns + int(max(0.0, timing.total_s - sum(parts.values())) * 1e9)
        for name, seconds in parts.items():
            part = self._tracer.start_span(name, context=parent, start_time=at_ns)
            at_ns += int(seconds * 1e9)
            part.end(at_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _attributes(ended: Ended) -> dict[str, str | int]:
    """Names of OpenTelemetry's conventions for HTTP, and our own; nothing of what users said."""
    found: dict[str, str | int] = {
        "http.request.method": ended.method,
        "limbeck.protocol": ended.protocol,
        "limbeck.outcome": ended.outcome,
        "limbeck.request_id": ended.request_id,
    }
    if ended.route:
        found["http.route"] = ended.route
    if ended.status is not None:
        found["http.response.status_code"] = ended.status
        if ended.status >= 500:
            found["error.type"] = ended.outcome
    for name in ("model", "version", "rows", "tokens", "cached"):
        value = ended.noted.get(name)
        if isinstance(value, str | int):
            found[f"limbeck.{name}"] = value
    return found

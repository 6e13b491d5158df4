"""Where the time of one forward pass went, thread by thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A thread that waits does nothing; it is told apart from work in every sum.
WAIT = "wait"


@dataclass(frozen=True, kw_only=True)
class Span:
    """What one thread did from `begin_ns` to `end_ns`, counted from the pass's first span.

    layer: -1 before the first. operations: multiplications and additions, where they matter.
    """

    op: str
    layer: int
    thread: int
    begin_ns: int
    end_ns: int
    operations: int

    @property
    def ns(self) -> int:
        return self.end_ns - self.begin_ns


@dataclass(frozen=True, kw_only=True)
class OpTime:
    """All spans of one op: busy time summed over threads, and its share of all of theirs."""

    op: str
    calls: int
    ms: float
    share: float
    gops: float | None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One forward pass. wall_ms: from its first span to its last one's end, on `threads`."""

    spans: tuple[Span, ...]
    threads: int
    precision: str
    isa: str

    @property
    def wall_ms(self) -> float:
        if not self.spans:
            return 0.0
        return (max(s.end_ns for s in self.spans) - min(s.begin_ns for s in self.spans)) / 1e6

    def by_op(self) -> list[OpTime]:
        """Ops by falling time; "other" is what no span covers: starting, ending, the caller."""
        total = self.threads * self.wall_ms
        found = []
        for op in dict.fromkeys(span.op for span in self.spans):
            own = [span for span in self.spans if span.op == op]
            ns, operations = sum(s.ns for s in own), sum(s.operations for s in own)
            found.append(
                OpTime(
                    op=op,
                    calls=len(own),
                    ms=ns / 1e6,
                    share=ns / 1e6 / total if total else 0.0,
                    gops=operations / ns if ns and operations else None,
                )
            )
        left = max(0.0, total - sum(each.ms for each in found))
        found.append(
            OpTime(op="other", calls=0, ms=left, share=left / total if total else 0.0, gops=None)
        )
        return sorted(found, key=lambda each: -each.ms)

    def chrome_trace(self) -> dict[str, Any]:
        """The pass for chrome://tracing and Perfetto: the Trace Event Format's complete events."""
        events: list[Mapping[str, Any]] = [
            {
                "name": span.op,
                "cat": "layer" if span.layer >= 0 else "before",
                "ph": "X",
                "pid": 0,
                "tid": span.thread,
                "ts": span.begin_ns / 1e3,
                "dur": span.ns / 1e3,
                "args": {"layer": span.layer, "operations": span.operations},
            }
            for span in self.spans
        ]
        about = {"precision": self.precision, "isa": self.isa, "threads": self.threads}
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}

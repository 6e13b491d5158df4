"""The engine: weights in, float32 answers out, one implementation for packed tokens.

In: a ModelSpec, named weights, packed batches. Out: logits, hidden states or pooled vectors.
Neighbours: `native/` does the work behind `library`; `reference`, in numpy, defines it; above
stands `limbeck.runtimes`.
"""

from __future__ import annotations

from limbeck.engine.calibration import static_ranges, static_ranges_by
from limbeck.engine.engine import Engine
from limbeck.engine.latency import LatencyTable, latency_us, measure_latency
from limbeck.engine.library import available_cpus, isas
from limbeck.engine.observers import OBSERVERS, ObserverName
from limbeck.engine.profile import OpTime, Profile, Span
from limbeck.engine.quantization import convert_weights, dequantize_weights, quantize_weights
from limbeck.engine.tuning import SparseCosts

__all__ = [
    "OBSERVERS",
    "Engine",
    "LatencyTable",
    "ObserverName",
    "OpTime",
    "Profile",
    "Span",
    "SparseCosts",
    "available_cpus",
    "convert_weights",
    "dequantize_weights",
    "isas",
    "latency_us",
    "measure_latency",
    "quantize_weights",
    "static_ranges",
    "static_ranges_by",
]

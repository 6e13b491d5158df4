"""What the server counts, for Prometheus. `catalogue` names it, `recorder` counts, `state` is asked
for at each scrape, `exposition` writes it down.
"""

from limbeck.serve.metrics.catalogue import CATALOGUE, OUTCOMES, Outcome
from limbeck.serve.metrics.recorder import Metrics
from limbeck.serve.metrics.state import CacheState, ModelState, ServiceState

__all__ = [
    "CATALOGUE",
    "OUTCOMES",
    "CacheState",
    "Metrics",
    "ModelState",
    "Outcome",
    "ServiceState",
]

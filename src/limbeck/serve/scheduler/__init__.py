"""Which rows run next, and who is let in. Pure: no clock, no thread."""

from limbeck.serve.scheduler.core import Scheduler
from limbeck.serve.scheduler.cost import CostConfig, CostModel
from limbeck.serve.scheduler.job import Batch, Job, Part, Refusal, SchedulerConfig

__all__ = [
    "Batch",
    "CostConfig",
    "CostModel",
    "Job",
    "Part",
    "Refusal",
    "Scheduler",
    "SchedulerConfig",
]

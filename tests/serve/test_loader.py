"""A model as a server takes it in: what it is said to weigh, and what one should know of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fake_model import FakeModel
from limbeck.serve.models import loader
from limbeck.serve.settings import BreakerSettings, ModelSettings


class Weighed(FakeModel):
    """Its arena grows by 10 bytes with the first pass, and by 25 with the first that is alone."""

    def __init__(self, instances: int) -> None:
        super().__init__()
        self.instances = instances

    def describe(self) -> dict[str, Any]:
        arena = 10 * bool(self.alone) + 25 * any(self.alone)
        return {"instances": self.instances, "weights_bytes": 1000, "arena_bytes": arena}


def hosted(instances: int, deadline_ms: float = 60_000) -> Any:
    settings = ModelSettings(name="m", path="m", deadline_ms=deadline_ms)
    return loader.host(settings, lambda _: Weighed(instances), BreakerSettings(), generation=1)


@pytest.mark.parametrize(("instances", "size"), [(1, 1010), (4, 1065)])
def test_every_instance_counts_with_its_activations(instances: int, size: int) -> None:
    assert hosted(instances).size_bytes == size


def test_only_with_several_instances_there_is_a_cost_of_being_alone() -> None:
    assert hosted(1).alone is None
    assert hosted(2).alone is not None


def test_a_deadline_that_one_instance_cannot_keep_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        hosted(2)
        hosted(1, deadline_ms=1e-6)  # no other number of instances would help
        assert not caplog.records
        hosted(2, deadline_ms=1e-6)
    (record,) = caplog.records
    assert "a text of 24 tokens" in record.getMessage()
    assert "fewer --instances" in record.getMessage()

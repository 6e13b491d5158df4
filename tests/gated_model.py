"""A model that a test holds up: what comes meanwhile waits behind it."""

from __future__ import annotations

import threading
from typing import Any

from fake_model import FakeModel


class Gated(FakeModel):
    """Computes nothing before its gate is opened; says how many batches have begun."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0

    def let_one_through(self) -> None:
        """What waits at the gate goes on; what comes after finds it closed."""
        before, self.gate = self.gate, threading.Event()
        before.set()

    def forward(self, *args: Any, **named: Any) -> Any:
        self.begun += 1
        assert self.gate.wait(60)
        return super().forward(*args, **named)

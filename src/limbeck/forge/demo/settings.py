"""What the demo is asked to do, and how much of everything it uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Texts in each set. Negatives decide how fine a false-alarm rate can be told apart.

    `teacher_validation`: the teacher runs in torch float32, the slowest of the four by far, and so
    chooses its threshold on the first so many validation texts.
    """

    validation: int = 3000
    teacher_validation: int = 1500
    test: int = 4000
    test_leak_share: float = 0.2
    unseen: int = 300
    long_texts: int = 20
    training_at_most: int = 60_000
    transfer_at_most: int = 90_000
    timing_rounds: int = 12


QUICK = Sizes(
    validation=400,
    teacher_validation=200,
    test=400,
    unseen=60,
    long_texts=4,
    training_at_most=1500,
    transfer_at_most=1500,
)


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """The demo's options.

    data: real descriptions (a JSONL file with "text"), or labelled texts (columns text and label);
    None: our own grammar writes the descriptions. teacher: a model directory or hub name; None: the
    pinned encoder. minutes: for everything; training gets what the other steps leave.
    """

    out: Path = Path("demo")
    data: Path | None = None
    teacher: str | None = None
    quick: bool = False
    seed: int = 0
    minutes: float = 10.0
    layers: int | None = None
    false_alarm_rate: float = 0.001
    window_tokens: int = 64
    record: Path | None = None

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise InputError(f"minutes must be positive, found {self.minutes!r}")
        if not 0 < self.false_alarm_rate < 1:
            raise InputError(
                f"the false-alarm rate must be between 0 and 1, found {self.false_alarm_rate!r}"
            )
        if self.window_tokens < 16:
            raise InputError(f"windows need at least 16 tokens, found {self.window_tokens}")

    @property
    def sizes(self) -> Sizes:
        return QUICK if self.quick else Sizes()

    @property
    def artifact(self) -> Path:
        """`out` is itself the artifact; report and checkpoints lie in it beside its files."""
        return self.out

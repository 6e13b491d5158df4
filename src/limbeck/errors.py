"""The errors that limbeck raises for its users.

Each message says what is wrong, where, and what to do next. `assert` is kept for bugs of our own.
"""

from __future__ import annotations


class LimbeckError(Exception):
    """Base class: catch this one to catch every error that limbeck raises on purpose."""


class InputError(LimbeckError, ValueError):
    """A text, a batch, an option or a data file that cannot be used as given."""


class ArtifactError(LimbeckError):
    """An artifact directory that is damaged, incomplete, of another version or unsafe to read."""


class ModelError(LimbeckError):
    """No model directory, or one whose architecture or weights are not supported."""


class EngineError(LimbeckError):
    """The native engine refused to load or to run, or its library is missing."""


class VerifyError(LimbeckError):
    """A converted model whose answers differ from those of its source."""


class TrainingError(LimbeckError):
    """Training cannot start or cannot go on: bad data, a loss that is not finite, no budget."""


class MissingExtraError(LimbeckError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; install it with: pip install 'limbeck[{extra}]'"
        )
        self.package = package
        self.extra = extra


class GateError(LimbeckError):
    """A model lost more than it may; the message says on which rows, and how much."""


class TargetError(LimbeckError):
    """A server to be measured that cannot be reached, or refuses what it is asked."""

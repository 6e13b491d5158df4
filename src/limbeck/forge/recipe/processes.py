"""Several processes, as torchrun starts them: all train, the first alone writes and tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from limbeck.errors import TrainingError
from limbeck.forge import processes
from limbeck.forge.processes import Group

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Team:
    """This process among all of them."""

    group: Group

    @property
    def first(self) -> bool:
        return self.group.is_first

    @property
    def size(self) -> int:
        return self.group.count

    def alone(self, work: Callable[[], _T]) -> _T:
        """The first process's answer, in all of them.

        Raises:
            TrainingError: in the others, where the first one failed; there, what it failed with.
        """
        if self.size == 1:
            return work()
        told: list[Any] = [None, None]
        error: BaseException | None = None
        if self.first:
            try:
                told[0] = work()
            except BaseException as found:
                error, told[1] = found, f"{type(found).__name__}: {found}"
        torch.distributed.broadcast_object_list(told, src=0)
        if error is not None:
            raise error
        if told[1] is not None:
            raise TrainingError(f"the first process failed: {told[1]}")
        answer: _T = told[0]
        return answer

    def ahead(self, work: Callable[[], object]) -> None:
        """Of several processes, the first does it before the others go on; a single one does not.

        Raises:
            TrainingError: in the others, where the first one failed.
        """

        def done() -> None:
            work()

        if self.size > 1:
            self.alone(done)


@contextmanager
def team() -> Iterator[Team]:
    """The processes that torchrun started together with this one; else this one by itself.

    Raises:
        TrainingError: this build of torch cannot talk to other processes.
    """
    if processes.current().count > 1:  # a run among several joins once
        yield Team(group=processes.current())
        return
    with processes.joined() as group:
        yield Team(group=group)

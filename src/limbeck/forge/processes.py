"""Several processes that train one model together, each on its share of every batch (torchrun).

In: what torchrun says in the environment. Out: a group that adds up gradients, so that every
process takes the same step. Without torchrun it is a group of one, and nothing is sent.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from limbeck.errors import TrainingError

# How long a process waits for the others: the first one may be at work alone for hours. One that
# dies closes its connections, and torchrun ends the rest, long before.
_PATIENCE = datetime.timedelta(days=7)

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The processes that train together, and which of them this one is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes and speaks for all."""
        return self.rank == 0

    def share(self, indexes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This process's rows of a batch; perhaps none."""
        return indexes[self.rank :: self.count]

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        value = value.clone()
        if self.count > 1:
            dist.all_reduce(value)
        return value

    def add_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Give every process the sum of all gradients; where none has one, none gets one."""
        if self.count == 1:
            return
        device = parameters[0].device
        owners = self.total(
            torch.tensor([float(p.grad is not None) for p in parameters], device=device)
        )
        used = [p for p, count in zip(parameters, owners.tolist(), strict=True) if count]
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used]
        )
        dist.all_reduce(flat)
        parts = torch.split(flat, [p.numel() for p in used])
        for p, gradient in zip(used, parts, strict=True):
            p.grad = gradient.view_as(p)

    def same(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give every process the first one's values."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.data, src=0)

    def everyones(self, value: torch.Tensor) -> list[torch.Tensor]:
        """What each process has, by rank; the same shape everywhere."""
        if self.count == 1:
            return [value]
        own = value.to(_device())
        found = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(found, own)
        return [one.cpu() for one in found]

    def first_says(self, value: float) -> float:
        """The first process's number: what clocks decide is decided once."""
        if self.count == 1:
            return value
        said = torch.tensor(value, dtype=torch.float64, device=_device())
        dist.broadcast(said, src=0)
        return float(said.item())

    def firsts(self, value: _T) -> _T:
        """The first process's value, whatever the others give; it must be one that pickle knows."""
        if self.count == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    def in_turn(self, work: Callable[[], _T]) -> _T:
        """Work that all do, the first process before the others: they find what it left in a
        cache."""
        if self.is_first:
            found = work()
            self.wait()
            return found
        self.wait()
        return work()

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.count > 1:
            dist.barrier()


def _device() -> torch.device:
    """Where the group's messages are made: NCCL sends from GPUs alone."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def current() -> Group:
    """The group that this process has joined; a group of one where it has joined none."""
    if not (dist.is_available() and dist.is_initialized()):
        return Group()
    return Group(rank=dist.get_rank(), count=dist.get_world_size())


@contextmanager
def joined() -> Iterator[Group]:
    """Join the group that torchrun started, if it did, and leave it at the end.

    Raises:
        TrainingError: this build of torch cannot talk to other processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Group()
        return
    if not dist.is_available():
        raise TrainingError("this build of torch has no torch.distributed; run without torchrun")
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield current()
        dist.barrier()  # nobody takes its connections down while another still needs them
    finally:
        dist.destroy_process_group()

"""What a scheduler would do with a load: a discrete-event simulation, for capacity planning.

Arrivals come when they come (open loop), workers take the true time of a batch, with noise, and
the scheduler sees only what a server would show it. A request takes about 40 us.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from limbeck.serve.scheduler.core import Scheduler
from limbeck.serve.scheduler.cost import CostConfig, CostModel
from limbeck.serve.scheduler.job import Batch, Job, SchedulerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request: at s; lengths of its rows; budget_s from arrival to deadline.

    patience_s: after so long the client goes away; None: it stays.
    """

    at: float
    lengths: tuple[int, ...]
    budget_s: float
    lane: Hashable = 0
    priority: int = 0
    patience_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueCost:
    """What a batch really takes: c0 + c1 * sum(L) + c2 * sum(L^2), in s, times noise.

    noise: sigma of a log-normal factor with median 1. pauses: chance that a batch is held up, by
    pause_s.
    """

    c0: float
    c1: float
    c2: float = 0.0
    noise: float = 0.1
    pauses: float = 0.0
    pause_s: float = 0.0

    def seconds(self, batch: Batch, rng: random.Random) -> float:
        """Draw the seconds of a batch."""
        base = self.c0 + self.c1 * batch.tokens + self.c2 * batch.squares
        if self.noise:
            base *= rng.lognormvariate(0.0, self.noise)
        if self.pauses and rng.random() < self.pauses:
            base += self.pause_s
        return base


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of the requests.

    arrivals = in_time + late + refused + expired + cancelled. seconds: simulated, from the first
    arrival until all is done; busy_s: of all workers. latencies_s: of those answered, in order of
    completion. in_time_tokens: as in_time, in tokens.
    """

    arrivals: int = 0
    in_time: int = 0
    late: int = 0
    refused: int = 0
    expired: int = 0
    cancelled: int = 0
    in_time_tokens: int = 0
    batches: int = 0
    rows: int = 0
    busy_s: float = 0.0
    seconds: float = 0.0
    most_queued_tokens: int = 0
    latencies_s: list[float] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Answers, in time or late."""
        return self.in_time + self.late

    @property
    def goodput(self) -> float:
        """Answers in time, a second."""
        return self.in_time / self.seconds if self.seconds else 0.0

    def latency_s(self, quantile: float) -> float:
        """A quantile of the latencies of what was answered; NaN if nothing was."""
        ranked = sorted(self.latencies_s)
        if not ranked:
            return float("nan")
        return ranked[min(int(quantile * len(ranked)), len(ranked) - 1)]


def simulate(
    arrivals: Iterable[Arrival],
    *,
    workers: int,
    true_cost: Callable[[Hashable], TrueCost],
    alone: Callable[[Hashable], TrueCost] | None = None,
    config: SchedulerConfig | None = None,
    cost_config: CostConfig | None = None,
    prior: Callable[[Hashable], CostModel] | None = None,
    seed: int = 0,
    watch: Callable[[Scheduler, float], None] | None = None,
    answered: Callable[[Arrival, float], None] | None = None,
    into: Outcome | None = None,
) -> Outcome:
    """Run arrivals, which come in order of time, through a scheduler.

    true_cost: of a lane. alone: of its batches with all workers' threads; None: there are no such.
    prior: the cost model that a lane begins with; None: as a warm-up of a few
        batches would give it. watch: called after each event, with s. answered: called for each
        answer, with its latency in s. into: where to count, to be seen while it goes on.

    Raises:
        ValueError: arrivals that go back in time.
    """
    rng = random.Random(seed)
    models: dict[Hashable, CostModel] = {}
    alone_models: dict[Hashable, CostModel] = {}

    def cost(lane: Hashable) -> CostModel:
        model = models.get(lane)
        if model is None:
            if prior is not None:
                model = prior(lane)
            else:
                model = warmed_up(true_cost(lane), rng, cost_config)
            models[lane] = model
        return model

    def alone_cost(lane: Hashable) -> CostModel | None:
        if alone is None:
            return None
        if lane not in alone_models:
            alone_models[lane] = warmed_up(alone(lane), rng, cost_config)
        return alone_models[lane]

    scheduler = Scheduler(config or SchedulerConfig(), workers, cost, alone_cost)
    out = Outcome() if into is None else into
    held: dict[int, Arrival] = {}
    # Ends of batches, goings of clients: (s, number, batch or number of the job).
    events: list[tuple[float, int, Batch | int]] = []
    count = 0
    first: float | None = None
    now = float("-inf")

    def start_batches() -> None:
        nonlocal count
        while scheduler.in_flight < workers:
            batch, expired, _ = scheduler.take(now)
            out.expired += len(expired)
            for number in expired:
                del held[number]
            if batch is None:
                return
            true = alone if batch.alone and alone is not None else true_cost
            took_s = true(batch.lane).seconds(batch, rng)
            out.batches += 1
            out.rows += batch.rows
            out.busy_s += took_s * (workers if batch.alone else 1)
            count += 1
            heappush(events, (now + took_s, count, batch))

    def happen() -> None:
        nonlocal now
        now, _, what = heappop(events)
        if isinstance(what, int):
            if held.pop(what, None) is not None:
                scheduler.cancel(now, what)
                out.cancelled += 1
            return
        for number in scheduler.finished(now, what):
            arrival = held.pop(number)
            latency_s = now - arrival.at
            out.latencies_s.append(latency_s)
            if answered is not None:
                answered(arrival, latency_s)
            if latency_s <= arrival.budget_s:
                out.in_time += 1
                out.in_time_tokens += sum(arrival.lengths)
            else:
                out.late += 1
        start_batches()

    for number, arrival in enumerate(arrivals):
        while events and events[0][0] <= arrival.at:
            happen()
            if watch is not None:
                watch(scheduler, now)
        if arrival.at < now:
            raise ValueError(f"arrival {number} is before the one that it follows")
        if first is None:
            first = arrival.at
        now = arrival.at
        out.arrivals += 1
        refusal = scheduler.submit(
            now,
            Job(
                number=number,
                lane=arrival.lane,
                lengths=arrival.lengths,
                deadline=now + arrival.budget_s,
                priority=arrival.priority,
            ),
        )
        if refusal is None:
            held[number] = arrival
            if arrival.patience_s is not None:
                count += 1
                heappush(events, (now + arrival.patience_s, count, number))
            if scheduler.queued_tokens > out.most_queued_tokens:
                out.most_queued_tokens = scheduler.queued_tokens
            if scheduler.in_flight < workers:
                start_batches()
        else:
            out.refused += 1
            out.refusals[refusal.reason] = out.refusals.get(refusal.reason, 0) + 1
        if watch is not None:
            watch(scheduler, now)
    while events:
        happen()
        if watch is not None:
            watch(scheduler, now)
    out.seconds = 0.0 if first is None else now - first
    return out


def warmed_up(true: TrueCost, rng: random.Random, config: CostConfig | None = None) -> CostModel:
    """A cost model from a warm-up: batches of several shapes, each measured twice."""
    samples = []
    for lengths in ((16,), (128,), (512,), (128,) * 8, (32,) * 16, (256,) * 4) * 2:
        tokens, squares = sum(lengths), sum(n * n for n in lengths)
        noise = rng.lognormvariate(0.0, true.noise) if true.noise else 1.0
        samples.append((lengths, (true.c0 + true.c1 * tokens + true.c2 * squares) * noise))
    return CostModel.from_samples(samples, config=config)


def poisson(rate: float, number: int, rng: random.Random) -> Iterator[float]:
    """Times of `number` arrivals at `rate` a second, without memory."""
    now = 0.0
    for _ in range(number):
        now += rng.expovariate(rate)
        yield now


def bursts(rate: float, number: int, rng: random.Random, *, size: int = 50) -> Iterator[float]:
    """Times of arrivals that come `size` at once; `rate` a second in the long run."""
    now = 0.0
    for index in range(number):
        if index % size == 0:
            now += rng.expovariate(rate / size)
        yield now

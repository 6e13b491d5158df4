"""The whole service under random traffic on a fake engine: what is promised holds every time.

A trial has two phases. With the engine held up, requests are let in and some are taken back, so
that what had begun by then is known exactly. Then the engine goes on, with rows that fail, and more
requests come and go at random moments.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_model import FakeModel
from gated_model import Gated
from limbeck.errors import EngineError
from limbeck.pipeline import pipeline
from limbeck.serve.dispatch import BatchDone
from limbeck.serve.refused import RefusedError
from limbeck.serve.service import Service
from limbeck.serve.settings import Settings
from served import asking
from tokenizer_files import raw
from waiting import comes

# Words of the fake tokenizer: which row fails, and how.
_IDS = {word: raw("wordpiece").token_to_id(word) for word in ("bell", "key", "mat")}
assert all(_IDS.values())
OPTIONS = {"top_k": None}
ALONE = pipeline("text-classification", FakeModel())


class RuntimeOfOthersError(Exception):
    pass


class Random(Gated):
    """Rows with a bell are no numbers, with a key no memory, with a mat another's error.

    instances: that it says it has; of more than one, batches may be alone.
    """

    def __init__(self, pauses_s: list[float], instances: int) -> None:
        super().__init__()
        self.pauses_s = pauses_s
        self.instances = instances
        self.is_alone = False
        self.rows: list[tuple[int, ...]] = []

    def describe(self) -> dict[str, Any]:
        return {"instances": self.instances}

    def forward(self, ids: Any, *args: Any, **named: Any) -> Any:
        self.is_alone = named["alone"]
        held = not self.gate.is_set()
        self.rows += [tuple(row) for row in ids]
        answer = super().forward(ids, *args, **named)
        if not held:
            time.sleep(self.pauses_s[self.begun % len(self.pauses_s)])
        has = {word: [number in row for row in ids] for word, number in _IDS.items()}
        if any(has["key"]):
            raise EngineError("out of memory")
        if any(has["mat"]):
            raise RuntimeOfOthersError("a secret")
        answer = answer.copy()
        answer[has["bell"]] = np.nan
        return answer


@dataclass(frozen=True)
class Asked:
    """leaves_s: when it is taken back, if it is. early: sent, and taken back, while the engine is
    held up; else the engine runs.
    """

    texts: tuple[str, ...]
    timeout_s: float
    priority: int
    use_cache: bool
    leaves_s: float | None
    early: bool

    @property
    def fails(self) -> set[str]:
        """Reasons for which one of its rows could be refused."""
        words = " ".join(self.texts).split()
        found = {"failed"} if "bell" in words or "mat" in words else set()
        return found | ({"unavailable"} if "key" in words else set())


def texts() -> st.SearchStrategy[tuple[str, ...]]:
    words = st.sampled_from(["the", "and", "old", "call", "said", "anna", "haus"])
    # One row in seven or so fails.
    poison = st.sampled_from([""] * 18 + ["bell", "key", "mat"])
    row = st.builds(
        lambda parts, bad: " ".join([*parts, bad]).strip(),
        st.lists(words, min_size=0, max_size=8),
        poison,
    )
    return st.lists(row, min_size=1, max_size=4).map(tuple)


def asked() -> st.SearchStrategy[Asked]:
    return st.builds(
        Asked,
        texts=texts(),
        # Most have all the time that a slow machine may need; some cannot be in time.
        timeout_s=st.sampled_from([60.0] * 6 + [0.0, 0.002, 0.02]),
        priority=st.integers(0, 3),
        use_cache=st.booleans(),
        leaves_s=st.one_of(st.none(), st.none(), st.floats(0, 0.02)),
        early=st.booleans(),
    )


def service_for(
    model: Random, cache_bytes: int, instances: int, queue: int, batches: list[BatchDone]
) -> Service:
    given = {
        "models": [{"name": "m", "path": "m", "deadline_ms": 60_000}],
        "server": {"instances": instances},
        "cache": {"size_bytes": cache_bytes},
        "queue": {"max_tokens": queue, "max_batch_rows": 6},
        "breaker": {"enabled": False},
    }
    return Service(Settings.model_validate(given), loading=lambda _: model, on_batch=batches.append)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    requests=st.lists(asked(), min_size=1, max_size=24),
    pauses_s=st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.004]), min_size=1, max_size=5),
    cache_bytes=st.sampled_from([0, 600, 1 << 20]),
    instances=st.integers(1, 3),
    queue=st.sampled_from([60, 300, 100_000]),
    together=st.booleans(),
)
def test_promises(
    requests: list[Asked],
    pauses_s: list[float],
    cache_bytes: int,
    instances: int,
    queue: int,
    together: bool,
) -> None:
    model = Random(pauses_s, instances if together else 1)
    asyncio.run(trial(requests, model, cache_bytes, instances, queue))


async def trial(
    requests: list[Asked], model: Random, cache_bytes: int, instances: int, queue: int
) -> None:
    batches: list[BatchDone] = []
    service = service_for(model, cache_bytes, instances, queue, batches)
    outcomes: list[Any] = [None] * len(requests)
    ended: Counter[int] = Counter()
    encode = model.tokenizer().encode
    longest = model.spec.task.max_tokens

    async def ask(place: int, one: Asked) -> None:
        request = asking(
            *one.texts,
            options=OPTIONS,
            timeout_s=one.timeout_s,
            priority=one.priority,
            use_cache=one.use_cache,
        )
        try:
            outcomes[place] = await service.answer(request)
        except RefusedError as error:
            outcomes[place] = error.reason
        except asyncio.CancelledError:
            outcomes[place] = "cancelled"
            raise
        finally:
            ended[place] += 1

    def ids_of(one: Asked) -> set[tuple[int, ...]]:
        return {tuple(row.ids) for row in encode(list(one.texts), max_tokens=longest)}

    try:
        await service.start()
        model.rows.clear()
        before = set(asyncio.all_tasks())
        # The engine is held up: requests are let in, or refused at the door, and some go.
        early = [place for place, one in enumerate(requests) if one.early]
        model.gate.clear()
        begun = model.begun
        tasks = {
            place: asyncio.create_task(ask(place, requests[place]), name=str(place))
            for place in early
        }
        await asyncio.sleep(0.005)
        look = service.dispatcher.look
        await comes(
            lambda: (
                model.begun - begun >= min(instances, look()["in_flight"])
                and (
                    look()["queued_jobs"] == 0
                    or look()["in_flight"] == instances
                    or (look()["in_flight"] == 1 and model.is_alone)
                )
            )
        )
        # Rows of batches that have begun by now; no worker can take another one.
        started = set(model.rows)
        leaving = {
            place
            for place in early
            if requests[place].leaves_s is not None and not tasks[place].done()
        }
        for place in leaving:
            tasks[place].cancel()
        await asyncio.gather(*(tasks[place] for place in leaving), return_exceptions=True)
        # With the engine still held up, only what others want may be computed of their rows.
        wanted = set().union(*(ids_of(one) for p, one in enumerate(requests) if p not in leaving))
        gone = set().union(*(ids_of(requests[place]) for place in leaving)) - wanted - started
        model.gate.set()
        # The rest comes, and goes at any moment.
        for place, one in enumerate(requests):
            if place not in tasks:
                tasks[place] = asyncio.create_task(ask(place, one), name=str(place))
                if one.leaves_s is not None:
                    asyncio.get_running_loop().call_later(one.leaves_s, tasks[place].cancel)
                if place % 3 == 0:
                    await asyncio.sleep(0)
        await asyncio.wait(tasks.values(), timeout=90)

        # Every request has exactly one end.
        for place, task in tasks.items():
            assert task.done(), f"request {place} has no end"
            if not task.cancelled():
                assert task.exception() is None
        for place, one in enumerate(requests):
            outcome = outcomes[place]
            if outcome is None:  # taken back before it had begun
                assert tasks[place].cancelled()
                assert ended[place] == 0
                continue
            assert ended[place] == 1
            if outcome == "cancelled":
                assert one.leaves_s is not None
            elif isinstance(outcome, str):
                possible = one.fails | {"overloaded", "too_large"}
                possible |= {"deadline"} if one.timeout_s < 60 else set()
                assert outcome in possible, (outcome, one)
                if outcome == "overloaded":
                    assert queue < 100_000 or one.timeout_s < 60
            else:
                # Answered: every row its own, as alone, and none that cannot be.
                assert not one.fails
                assert outcome.rows == [ALONE(text, **OPTIONS) for text in one.texts]
                assert outcome.tokens == sum(
                    len(row) for row in encode(list(one.texts), max_tokens=longest)
                )
                assert one.timeout_s > 0
        # Nothing was begun for those who had gone.
        assert not gone & set(model.rows)
        # Nothing is left behind.
        await comes(lambda: look()["held_jobs"] == look()["in_flight"] == 0)
        assert look()["queued_tokens"] == look()["queued_jobs"] == 0
        [hosted] = service.models.loaded()
        assert hosted.in_flight == 0
        stats = service.cache.stats
        assert stats.in_flight == 0
        assert stats.size_bytes <= cache_bytes
        await comes(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()})
        # What was computed is what batches say; and failures alone were computed more than once.
        assert all(batch.rows >= 1 and batch.tokens >= 1 for batch in batches)
        # The service is as good as new.
        model.gate.set()
        last = await service.answer(asking("haus", options=OPTIONS))
        assert last.rows == [ALONE("haus", **OPTIONS)]
    finally:
        model.gate.set()
        await service.close()

"""The memory guard on a service under traffic: models are loaded anew, and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from fake_model import FakeModel
from limbeck.serve.memory import Guard
from limbeck.serve.metrics import Metrics
from limbeck.serve.service import Service
from limbeck.serve.state import state_of
from limbeck.serve.watch import _Cache
from served import asking, serving
from waiting import comes

LIMIT = 1_000_000


def model() -> Any:
    return FakeModel()


async def guarded(service: Service, memory_bytes: list[int], metrics: Metrics) -> list[Any]:
    guard = Guard(
        LIMIT,
        check_s=1.0,
        cache=_Cache(service),
        reload=service.reload_models,
        on_action=metrics.guard,
        memory=lambda: memory_bytes.pop(0),
    )
    return [await guard.look() for _ in range(len(memory_bytes))]


def test_no_request_is_lost_to_the_guard() -> None:
    async def run() -> None:
        metrics = Metrics()
        async with serving({"a": model}) as service:
            metrics.service = lambda: state_of(service)
            before = service.models.loaded()
            done = 0
            stop = False

            async def traffic(number: int) -> None:
                nonlocal done
                count = 0
                while not stop:
                    count += 1
                    answer = await service.answer(asking(f"the bell {number} {count}"))
                    assert len(answer.rows) == 1
                    done += 1

            asking_on = [asyncio.create_task(traffic(number)) for number in range(4)]
            await comes(lambda: done >= 50, "fifty answers")
            full = service.cache.stats
            assert full.size_bytes > 0
            steps = await guarded(service, [LIMIT * 2] * 3 + [LIMIT // 2], metrics)
            assert steps == ["shrink_cache", "trim", "reload", "restore_cache"]
            after = done
            await comes(lambda: done >= after + 50, "fifty more")
            stop = True
            # Any refusal would be raised here.
            await asyncio.gather(*asking_on)
            (fresh,) = service.models.loaded()
            assert fresh is not before[0]
            assert service.cache.stats.bound_bytes == full.bound_bytes
            text = metrics.exposition()[0].decode()
            for action in ("shrink_cache", "trim", "reload"):
                assert f'limbeck_memory_guard_actions_total{{action="{action}"}} 1.0' in text
            assert 'limbeck_model_loaded{model="a",version="1"} 1.0' in text
            assert 'limbeck_breaker_state{model="a",state="closed",version="1"} 1.0' in text

    asyncio.run(run())

"""Requests through the service: one answer each, the same as alone, whatever happens to others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fake_model import FakeModel, plain_logits
from gated_model import Gated
from limbeck.engine import available_cpus
from limbeck.errors import EngineError, ModelError
from limbeck.pipeline import pipeline
from limbeck.serve.refused import RefusedError
from limbeck.serve.rows import Rows
from limbeck.serve.service import Service
from limbeck.serve.settings import Settings
from served import asking, serving, settings_of
from tokenizer_files import raw
from waiting import PATIENCE_S, comes

BELL = raw("wordpiece").token_to_id("bell")


async def refused(awaitable: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await awaitable
    return caught.value


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


TEXTS = ["the bell", "a quiet harbour", "", "the bell in the harbour " * 100, "harbour"]


@pytest.mark.parametrize("cached", [True, False])
def test_answers_are_those_of_the_pipeline_alone(cached: bool) -> None:
    async def body() -> None:
        async with serving({"m": FakeModel}) as service:
            alone = pipeline("text-classification", FakeModel())
            requests = [
                service.answer(
                    asking(*TEXTS[: 1 + i % 5], options={"top_k": None}, use_cache=cached)
                )
                for i in range(40)
            ]
            answers = await asyncio.gather(*requests)
            for i, answer in enumerate(answers):
                assert answer.rows == alone(TEXTS[: 1 + i % 5], top_k=None)
                assert answer.hosted.name == "m"
                assert answer.tokens > 0
            again = await service.answer(asking(*TEXTS, options={"top_k": None}))
            assert again.rows == alone(TEXTS, top_k=None)
            assert again.cached == (len(TEXTS) if cached else 0)

    run(body())


def test_requests_share_batches_and_windows_are_read_in_rounds() -> None:
    async def body() -> None:
        model = Gated(labels=("clean", "odd", "leak"))
        async with serving({"m": lambda: model}) as service:
            model.gate.clear()
            model.batches.clear()
            options = {"window": True, "window_label": "leak", "top_k": None}
            long = "the quiet harbour " * 60 + "the bell"
            tasks = [
                asyncio.create_task(service.answer(asking(text, options=options)))
                for text in ["first", long, "the bell", long + " harbour", "odd"]
            ]
            await comes(lambda: model.begun > 10)
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 5)
            model.gate.set()
            answers = await asyncio.gather(*tasks)
            alone = pipeline("text-classification", FakeModel())
            for answer, text in zip(
                answers, ["first", long, "the bell", long + " harbour", "odd"], strict=True
            ):
                assert answer.rows == [alone(text, **options)]
            assert max(batch.sequences for batch in model.batches) > 5

    run(body())


def test_idle_workers_take_what_another_leaves_for_them() -> None:
    async def body() -> None:
        model = Gated()
        async with serving({"m": lambda: model}, server={"instances": 3}) as service:
            model.gate.clear()
            asked = asyncio.create_task(service.answer(asking("the bell", "harbour", "opening")))
            # The engine is stuck, and yet every row has been begun.
            await comes(lambda: service.dispatcher.look()["in_flight"] > 0)
            await comes(lambda: service.dispatcher.look()["queued_tokens"] == 0)
            model.gate.set()
            assert len((await asked).rows) == 3

    run(body())


def test_a_batch_that_is_alone_gets_all_threads_and_the_others_their_share() -> None:
    class Several(Gated):
        def describe(self) -> dict[str, Any]:
            return {"instances": 2}

    async def body() -> None:
        model = Several()
        async with serving({"m": lambda: model}, server={"instances": 2}) as service:
            assert set(model.alone) == {False, True}  # warm in both ways
            model.alone.clear()
            model.gate.clear()
            first = asyncio.create_task(service.answer(asking("the bell")))
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            others = [
                asyncio.create_task(service.answer(asking(text))) for text in ("harbour", "opening")
            ]
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 3)
            began = service.dispatcher.busy_s()
            await asyncio.sleep(0.05)
            assert service.dispatcher.busy_s() - began >= 0.1  # both workers are at it
            assert service.dispatcher.look()["in_flight"] == 1
            model.gate.set()
            await asyncio.gather(first, *others)
            assert model.alone[0]
            assert model.alone.count(True) < 3

    run(body())


@pytest.mark.parametrize(
    ("server", "threads", "instances"),
    [
        ({}, 1, available_cpus()),
        ({"threads": 3}, 1, 3),
        ({"threads": 6, "instances": 2}, 3, 2),
        ({"threads": 2, "instances": 3}, 1, 3),
        ({"threads": 4, "instances": 1}, 4, 1),
    ],
)
def test_an_instance_for_each_thread_unless_told_otherwise(
    server: dict[str, int], threads: int, instances: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[dict[str, Any]] = []

    def load(settings: Any, **given: Any) -> FakeModel:
        loaded.append(given)
        return FakeModel()

    monkeypatch.setattr("limbeck.serve.service.load_model", load)
    models = [{"name": "m", "path": "m"}]

    async def body() -> None:
        service = Service(Settings.model_validate({"models": models, "server": server}))
        try:
            await service.start()
        finally:
            await service.close()
        assert loaded == [{"threads": threads, "instances": instances}]
        assert service.dispatcher.workers == instances

    run(body())


def test_a_poisonous_row_takes_no_other_along() -> None:
    def poisoned(ids: Sequence[int], types: Sequence[int]) -> list[float]:
        if BELL in ids:
            return [float("nan"), 0.0, 0.0]
        return plain_logits(ids, types)

    async def body() -> None:
        model = Gated(logits=poisoned)
        async with serving({"m": lambda: model}) as service:
            model.gate.clear()
            tasks = [
                asyncio.create_task(service.answer(asking(text)))
                for text in ["opening", "harbour", "the bell", "a quiet harbour", "bell"]
            ]
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 5)
            model.gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            reasons = [getattr(one, "reason", "ok") for one in results]
            assert reasons == ["ok", "ok", "failed", "ok", "failed"]

    run(body())


@pytest.mark.parametrize("error", [MemoryError(), EngineError("cannot allocate 10 GB")])
def test_a_row_that_does_not_fit_is_refused_and_its_mates_are_answered(error: Exception) -> None:
    class Small(Gated):
        def forward(self, ids: Any, *args: Any, **named: Any) -> Any:
            result = super().forward(ids, *args, **named)
            if any(BELL in one for one in ids):
                raise error
            return result

    async def body() -> None:
        model = Small()
        async with serving({"m": lambda: model}) as service:
            model.gate.clear()
            tasks = [
                asyncio.create_task(service.answer(asking(text)))
                for text in ["opening", "harbour", "bell " * 40, "a quiet harbour"]
            ]
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 4)
            model.gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [getattr(one, "reason", "ok") for one in results] == [
                "ok",
                "ok",
                "unavailable",
                "ok",
            ]

    run(body())


def test_what_nobody_waits_for_is_never_started() -> None:
    async def body() -> None:
        model = Gated()
        async with serving({"m": lambda: model}) as service:
            model.gate.clear()
            first = asyncio.create_task(service.answer(asking("opening")))
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            model.batches.clear()
            gone = asyncio.create_task(service.answer(asking("bell bell bell")))
            stays = asyncio.create_task(service.answer(asking("harbour")))
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 3)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            model.gate.set()
            await asyncio.gather(first, stays)
            assert all(BELL not in batch.ids for batch in model.batches)
            # An answer leaves before its batch is written off.
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 0)

    run(body())


def test_a_deadline_ends_in_a_refusal_even_where_the_engine_hangs() -> None:
    async def body() -> None:
        model = Gated()
        async with serving({"m": lambda: model}) as service:
            error = await refused(service.answer(asking("bell", timeout_s=0.0)))
            assert error.reason == "deadline"
            model.gate.clear()
            began = time.monotonic()
            hung = service.answer(asking("harbour", timeout_s=0.3))
            behind = service.answer(asking("quiet", timeout_s=0.3))
            reasons = {
                error.reason
                for error in await asyncio.gather(hung, behind, return_exceptions=True)
                if isinstance(error, RefusedError)
            }
            assert reasons <= {"deadline", "overloaded"}
            assert "deadline" in reasons
            assert time.monotonic() - began < 10
            model.gate.set()
            answer = await service.answer(asking("harbour"))
            assert answer.rows

    run(body())


def test_a_thousand_equal_requests_are_computed_once() -> None:
    async def body() -> None:
        model = Gated()
        async with serving({"m": lambda: model}) as service:
            model.gate.clear()
            before = len(model.batches)
            tasks = [asyncio.create_task(service.answer(asking("bell"))) for _ in range(1000)]
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            tasks[0].cancel()  # the one that computes; another takes over
            await asyncio.sleep(0.01)
            model.gate.set()
            answers = await asyncio.gather(*tasks[1:])
            assert all(answer.rows == answers[0].rows for answer in answers)
            sequences = sum(batch.sequences for batch in model.batches[before:])
            assert sequences in (1, 2)

    run(body())


def test_the_queue_is_bounded_in_tokens() -> None:
    async def body() -> None:
        model = Gated()
        async with serving({"m": lambda: model}, queue={"max_tokens": 200}) as service:
            model.gate.clear()
            first = asyncio.create_task(service.answer(asking("opening")))
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            tasks = [first] + [
                asyncio.create_task(service.answer(asking(f"{'bell ' * 18}{i}", use_cache=False)))
                for i in range(40)
            ]
            await comes(lambda: sum(task.done() for task in tasks) >= 30)
            assert service.dispatcher.look()["queued_tokens"] <= 200
            model.gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            refusals = [one for one in results if isinstance(one, RefusedError)]
            assert {one.reason for one in refusals} == {"overloaded"}
            assert len(refusals) + sum(not isinstance(one, Exception) for one in results) == 41
            error = await refused(service.answer(asking(*["bell " * 18] * 20, use_cache=False)))
            assert error.reason == "too_large"

    run(body())


def test_bad_inputs_and_options_are_named_by_their_place() -> None:
    async def body() -> None:
        async with serving({"m": FakeModel}) as service:
            error = await refused(service.answer(asking("a", 5)))
            assert error.reason == "unprocessable"
            assert "text 1 must be a str" in error.message
            error = await refused(service.answer(asking("a", options={"nonsense": 1})))
            assert "no option 'nonsense'" in error.message
            error = await refused(service.answer(asking("a", task="sentence-embedding")))
            assert error.reason == "unprocessable"
            for model, version in [("x", None), ("m", "9")]:
                error = await refused(service.answer(asking("a", model=model, version=version)))
                assert error.reason == "not_found"

    run(body())


def test_a_reload_switches_without_losing_a_request_or_leaves_the_old_model() -> None:
    async def body() -> None:
        made: list[Gated] = []
        broken = False

        def load() -> Gated:
            if broken:
                raise ModelError("the file is damaged")
            made.append(Gated(labels=(f"label-{len(made)}", "b", "c")))
            made[-1].digest = f"digest-{len(made)}"
            return made[-1]

        async with serving({"m": load}) as service:
            made[0].gate.clear()
            on_the_way = asyncio.create_task(service.answer(asking("a", options={"top_k": None})))
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            await service.reload()
            new = asyncio.create_task(service.answer(asking("a", options={"top_k": None})))
            await asyncio.sleep(0)
            made[0].gate.set()
            old_rows, new_rows = (await on_the_way).rows, (await new).rows
            assert {"label-0"} <= {one["label"] for one in old_rows[0]}
            assert {"label-1"} <= {one["label"] for one in new_rows[0]}
            broken = True
            with pytest.raises(ModelError, match="damaged"):
                await service.reload()
            assert (await service.answer(asking("b"))).hosted.pipeline.model is made[1]
            assert service.not_ready() == []

    run(body())


def test_models_are_loaded_when_asked_for_and_let_go_when_there_are_too_many() -> None:
    loads: list[str] = []

    class Sized(FakeModel):
        def describe(self) -> dict[str, Any]:
            return {"weights_bytes": 1000, "arena_bytes": 0}

    def loading(name: str) -> Any:
        def load() -> Sized:
            loads.append(name)
            return Sized()

        return load

    async def body() -> None:
        settings = Settings.model_validate(
            {
                "models_bytes": 2500,
                "models": [
                    {"name": name, "path": name, "preload": name == "a", "deadline_ms": 20_000}
                    for name in "abc"
                ],
            }
        )
        async with serving({name: loading(name) for name in "abc"}, settings) as service:
            assert loads == ["a"]
            together = [service.answer(asking("bell", model="b")) for _ in range(5)]
            await asyncio.gather(*together)
            assert loads == ["a", "b"]
            await service.answer(asking("bell", model="a"))
            await service.answer(asking("bell", model="c"))
            state = {one["name"]: one["state"] for one in service.index()}
            assert state == {"a": "ready", "b": "unloaded", "c": "ready"}
            await service.answer(asking("bell", model="b"))
            assert loads == ["a", "b", "c", "b"]
            await service.unload("b")
            assert {one["name"]: one["state"] for one in service.index()}["b"] == "unloaded"

    run(body())


def test_a_wrong_digest_and_numbers_that_are_none_are_refused_at_load() -> None:
    async def body(models: Any, settings: Settings) -> None:
        service = Service(settings, loading=lambda model: models())
        try:
            await service.start()
        finally:
            await service.close()

    wrong = Settings.model_validate({"models": [{"name": "m", "path": "m", "digest": "other"}]})
    with pytest.raises(ModelError, match="asks for other"):
        run(body(FakeModel, wrong))
    nan = lambda: FakeModel(logits=lambda ids, types: [float("nan")] * 3)  # noqa: E731
    with pytest.raises(ModelError, match="numbers that are none"):
        run(body(nan, settings_of("m")))


def test_a_model_that_fails_is_left_in_peace_and_its_fallback_answers() -> None:
    def failing() -> FakeModel:
        model = FakeModel()
        calls = 0

        def logits(ids: Sequence[int], types: Sequence[int]) -> list[float]:
            nonlocal calls
            calls += 1
            return [0.0, 0.0, 0.0] if BELL not in ids else [float("nan")] * 3

        model._logits = logits
        return model

    async def body() -> None:
        settings = Settings.model_validate(
            {
                "models": [
                    {"name": "m", "path": "m", "fallback": "spare", "deadline_ms": 20_000},
                    {"name": "spare", "path": "spare", "deadline_ms": 20_000},
                ],
                "breaker": {"min_requests": 5, "open_s": 2.0, "probes": 1},
            }
        )
        async with serving({"m": failing, "spare": FakeModel}, settings) as service:
            for _ in range(5):
                error = await refused(service.answer(asking("bell", model="m")))
                assert error.reason == "failed"
            answer = await service.answer(asking("bell", model="m"))
            assert answer.hosted.name == "spare"
            # Once it has been in peace for long enough, it is tried again.
            async with asyncio.timeout(PATIENCE_S):
                while answer.hosted.name != "m":
                    answer = await service.answer(asking("harbour", model="m"))
                    await asyncio.sleep(0.01)

    run(body())


def test_shares_of_tokens() -> None:
    async def body() -> None:
        rate = {"tokens_per_s": 0.001, "burst_tokens": 30}
        async with serving({"m": FakeModel}, rate=rate) as service:
            await service.answer(asking("bell harbour quiet", client="192.0.2.1"))
            error = None
            for _ in range(20):
                try:
                    await service.answer(asking("bell harbour quiet", client="192.0.2.1"))
                except RefusedError as caught:
                    error = caught
                    break
            assert error is not None
            assert error.reason == "rate_limited"
            assert error.retry_after_s is not None
            await service.answer(asking("bell harbour quiet", client="192.0.2.2"))

    run(body())


def test_whoever_waits_for_what_another_computes_pays_too() -> None:
    async def body() -> None:
        model = Gated()
        rate = {"tokens_per_s": 0.001, "burst_tokens": 8}
        async with serving({"m": lambda: model}, rate=rate) as service:
            model.gate.clear()
            lead = asyncio.create_task(service.answer(asking("the bell", client="192.0.2.1")))
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            waiting = [
                asyncio.create_task(service.answer(asking("the bell", client="192.0.2.2")))
                for _ in range(3)
            ]
            await comes(lambda: service.cache.stats.joined == 3)
            model.gate.set()
            tokens = (await lead).tokens
            results = await asyncio.gather(*waiting, return_exceptions=True)
            refusals = [one for one in results if isinstance(one, RefusedError)]
            assert {one.reason for one in refusals} == {"rate_limited"}
            assert len(results) - len(refusals) == 8 // tokens

    run(body())


def test_a_model_that_loads_slowly_is_waited_for_until_the_deadline() -> None:
    loads = threading.Event()

    def load() -> FakeModel:
        assert loads.wait(PATIENCE_S)
        return FakeModel()

    async def body() -> None:
        settings = Settings.model_validate(
            {
                "models": [
                    {"name": "a", "path": "a"},
                    {"name": "m", "path": "m", "preload": False, "deadline_ms": 100},
                ]
            }
        )
        async with serving({"a": FakeModel, "m": load}, settings) as service:
            for asked in (asking("bell", model="m", timeout_s=0.05), asking("bell", model="m")):
                error = await refused(service.answer(asked))
                assert error.reason == "deadline"
            error = await refused(service.hosted("m"))  # as routes that only describe it ask
            assert error.reason == "deadline"
            assert (await service.answer(asking("bell", model="a"))).rows
            loads.set()
            await comes(lambda: service.models.ready("m"))
            assert (await service.answer(asking("bell", model="m", timeout_s=60.0))).rows

    run(body())


def test_tokenising_is_waited_for_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    begin = Rows.begin

    def slow(rows: Rows) -> Any:
        if threading.current_thread() is not threading.main_thread():
            assert goes_on.wait(PATIENCE_S)
        return begin(rows)

    monkeypatch.setattr(Rows, "begin", slow)

    async def body() -> None:
        async with serving({"m": FakeModel}) as service:
            error = await refused(service.answer(asking("bell " * 1000, timeout_s=0.05)))
            assert error.reason == "deadline"
            goes_on.set()
            assert (await service.answer(asking("bell " * 1000))).rows
            await comes(lambda: service.dispatcher.look()["held_jobs"] == 0)

    run(body())


def test_a_deadline_that_passed_on_the_way_is_told_as_such() -> None:
    async def body() -> None:
        async with serving({"m": FakeModel}) as service:
            hosted = await service.hosted("m")
            asked = Rows(hosted.pipeline, {0: "bell"}, {}).begin()
            assert asked is not None
            with pytest.raises(RefusedError) as caught:
                service.dispatcher.submit(hosted, asked, deadline_s=0.0, priority=0)
            assert caught.value.reason == "deadline"

    run(body())


def test_shutting_down_answers_what_was_let_in() -> None:
    async def body() -> None:
        model = Gated()
        async with serving({"m": lambda: model}) as service:
            model.gate.clear()
            inside = asyncio.create_task(service.answer(asking("bell")))
            await comes(lambda: service.dispatcher.look()["in_flight"] == 1)
            service.drain()
            assert service.not_ready() == ["the server is draining"]
            error = await refused(service.answer(asking("harbour")))
            assert error.reason == "unavailable"
            model.gate.set()
            assert (await inside).rows

    run(body())


def test_embeddings_come_bit_equal_from_batches_and_from_the_cache() -> None:
    async def body() -> None:
        fake = lambda: FakeModel("sentence-embedding", pooling=("mean",))  # noqa: E731
        async with serving({"m": fake}) as service:
            alone = pipeline("sentence-embedding", fake())
            for _ in range(2):
                answer = await service.answer(asking(*TEXTS))
                np.testing.assert_array_equal(np.stack(answer.rows), alone(TEXTS))

    run(body())

"""The heart: a request goes in at the top, and its answer or a refusal comes out.

The order of the gates: model, deadline, breaker, tokens' share, cache, admission, queue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from limbeck.engine import available_cpus
from limbeck.errors import InputError
from limbeck.serve.breaker import Permit
from limbeck.serve.cache import Cache, Claim, Hit, Lead, RowKeys, Wait, precomputed
from limbeck.serve.dispatch import BatchDone, Dispatcher
from limbeck.serve.models import Hosted, Models
from limbeck.serve.models.loader import LoadModel, load_model
from limbeck.serve.rates import Rates
from limbeck.serve.refused import Reason, RefusedError
from limbeck.serve.request import PRIORITIES, Answer, Request, Timing, characters_of
from limbeck.serve.rows import Rows
from limbeck.serve.scheduler import Scheduler, SchedulerConfig
from limbeck.serve.settings import Settings

_log = logging.getLogger("limbeck.serve.service")
_Value = TypeVar("_Value")

# Shorter inputs are tokenised in the event loop, in up to a millisecond: on processors that the
# engine keeps busy, handing work to a thread and back takes several.
_INLINE_CHARACTERS = 2000
# Texts have fewer characters to a token. What would be late even so is refused before it is
# tokenised, which is most of what a refusal would cost.
_MOST_CHARACTERS = 8


class Service:
    """All that is shared between protocols. Made, used and closed in one event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        loading: LoadModel | None = None,
        on_batch: Callable[[BatchDone], None] = lambda done: None,
        on_reload: Callable[[bool], None] = lambda ok: None,
    ) -> None:
        """Args: loading: how a model is loaded; None for `limbeck.load`. on_batch, on_reload: for
        metrics; the first is called by threads.
        """
        self.settings = settings
        server, queue = settings.server, settings.queue
        threads = server.threads or available_cpus()
        instances = server.instances or threads
        if loading is None:

            def loading(model: Any) -> Any:
                # The engine counts the threads of each instance.
                each = max(1, threads // instances)
                return load_model(model, threads=each, instances=instances)

        self.models = Models(settings, loading, on_reload=on_reload)
        self.cache = Cache(settings.cache.size_bytes, ttl_s=settings.cache.ttl_s)
        self.rates = Rates(
            tokens_per_s=settings.rate.tokens_per_s, burst_tokens=settings.rate.burst_tokens
        )
        self.dispatcher = Dispatcher(
            Scheduler(
                SchedulerConfig(
                    queue_tokens=queue.max_tokens,
                    max_batch_tokens=queue.max_batch_tokens,
                    max_batch_rows=queue.max_batch_rows,
                    max_batch_s=queue.max_batch_ms / 1000,
                    classes=len(PRIORITIES),
                    ageing_s=queue.ageing_s,
                ),
                instances,
                lambda lane: lane[0].cost,  # type: ignore[index]
                lambda lane: lane[0].alone,  # type: ignore[index]
            ),
            workers=instances,
            on_batch=on_batch,
        )
        self._texts = ThreadPoolExecutor(1, thread_name_prefix="limbeck-text")
        self._clock = time.monotonic
        self._leaving = self._draining = False

    # Life.

    async def start(self) -> None:
        """Load and warm what is to be there from the start.

        Raises:
            LimbeckError: a required model cannot be loaded, or a file of prepared answers is
                damaged or belongs to none of the models.
        """
        files = [precomputed.read(path) for path in self.settings.cache.preload]
        await self.models.start()
        for file in files:
            file.check(hosted.keys for hosted in self.models.loaded())
        self.cache.prepare(files)

    def not_ready(self) -> list[str]:
        """Why requests should go elsewhere; empty where they are welcome."""
        return ["the server is draining"] if self._leaving else self.models.not_ready()

    @property
    def leaving(self) -> bool:
        """Whether the end is announced: requests had better go elsewhere."""
        return self._leaving

    @property
    def draining(self) -> bool:
        """Whether new requests are refused for good."""
        return self._draining

    def leave(self) -> None:
        """Be ready no more, and answer on: whoever asks the probes has time to notice."""
        self._leaving = True

    def drain(self) -> None:
        """Refuse new requests; those that were let in are answered."""
        self._leaving = self._draining = True
        self.dispatcher.drain()

    async def close(self) -> None:
        """Stop threads and let go of models. What still waits is refused."""
        self.drain()
        loop = asyncio.get_running_loop()
        closing = loop.run_in_executor(None, self.dispatcher.close)
        await closing
        self._texts.shutdown(wait=False, cancel_futures=True)
        self.models.close()

    async def reload(self, settings: Settings | None = None) -> None:
        """Take over other settings of models, or models whose files have changed, without losing a
        request; prepared answers are read anew. Whatever cannot be loaded leaves all as it was.

        Raises:
            LimbeckError: why not.
        """
        paths = self.settings.cache.preload
        files = await asyncio.to_thread(lambda: [precomputed.read(path) for path in paths])
        await self.models.reload(settings)
        of_use = []
        for file in files:
            try:
                file.check(hosted.keys for hosted in self.models.loaded())
            except InputError as error:
                _log.warning("%s; it is left out until it is written anew and reloaded", error)
            else:
                of_use.append(file)
        self.cache.prepare(of_use)

    async def reload_models(self) -> None:
        """Load every model anew, unchanged ones too: gives back memory that has crept up."""
        await self.models.reload(anew=True)

    async def load(self, name: str, version: str | None = None) -> Hosted:
        """See `Models.load`."""
        return await self.models.load(name, version)

    async def unload(self, name: str, version: str | None = None) -> None:
        """See `Models.unload`."""
        await self.models.unload(name, version)

    def index(self) -> list[dict[str, Any]]:
        """See `Models.index`."""
        return self.models.index()

    async def hosted(
        self, name: str | None, version: str | None = None, *, deadline_s: float | None = None
    ) -> Hosted:
        """The model of that name, loaded. deadline_s: None for the model's own, from now.

        Raises:
            RefusedError: not_found; unavailable where it cannot be loaded; deadline where that
                takes longer: it is loaded all the same.
        """
        found = self.models.ready(name, version)
        if found is not None:
            return found
        if deadline_s is None:
            own = self.models.settings(name, version)
            deadline_s = self._clock() + own.deadline_ms / 1000
        return await self._before(deadline_s, self.models.get(name, version))

    # Requests.

    async def answer(self, request: Request) -> Answer:
        """The answer to a request, before its deadline.

        Raises:
            RefusedError: it gets none; the reason says why.
        """
        if self._draining:
            raise RefusedError("unavailable", "the server is shutting down", retry_after_s=1.0)
        asked = self.models.settings(request.model, request.version)
        request.tenant.check(asked.name)
        timeout_s = asked.deadline_ms / 1000
        if request.timeout_s is not None:
            timeout_s = min(request.timeout_s, self.settings.limits.max_timeout_ms / 1000)
        deadline_s = request.arrived_s + timeout_s
        if self._clock() >= deadline_s:
            raise RefusedError("deadline", "the deadline has passed already")
        asked_for = await self._asked_for(request, deadline_s)
        hosted, permit = await self._through_breaker(asked_for, deadline_s)
        timing = Timing()
        if request.noted is not None:
            request.noted["timing"] = timing
        hosted.in_flight += 1
        try:
            answer = await self._answer(request, hosted, deadline_s, timing)
        except RefusedError as error:
            timing.total_s = self._clock() - request.arrived_s
            self._judge(hosted, error.reason, timing, permit)
            raise
        except BaseException:  # cancelled, most of all
            hosted.breaker.release(permit)
            raise
        finally:
            hosted.in_flight -= 1
        slow_s = self.settings.breaker.slow_share * timeout_s
        slow = timing.total_s - timing.queue_s > slow_s
        hosted.breaker.record(self._clock(), "slow" if slow else "ok", permit)
        return answer

    async def _asked_for(self, request: Request, deadline_s: float) -> Hosted:
        hosted = await self.hosted(request.model, request.version, deadline_s=deadline_s)
        noted = request.noted
        if noted is not None:
            noted["model"], noted["version"] = hosted.name, hosted.version
            noted["rows"] = len(request.inputs)
            if self.settings.log.texts:
                noted["inputs"] = request.inputs
        own = hosted.spec.task.task
        if request.task is not None and request.task != own:
            raise RefusedError(
                "unprocessable", f"model {hosted.name!r} is made for {own}, not for {request.task}"
            )
        return hosted

    async def _through_breaker(self, hosted: Hosted, deadline_s: float) -> tuple[Hosted, Permit]:
        """The model, or its fallback while its breaker is open."""
        now = self._clock()
        permit = hosted.breaker.allow(now)
        if permit is not None:
            return hosted, permit
        fallback = hosted.settings.fallback
        if fallback is not None:
            name, _, version = fallback.partition("/")
            other = await self.hosted(name, version or None, deadline_s=deadline_s)
            permit = other.breaker.allow(now) if other is not hosted else None
            if permit is not None:
                return other, permit
        raise RefusedError(
            "unavailable",
            f"model {hosted.name!r} has failed too often of late and is left in peace for a while",
            retry_after_s=hosted.breaker.retry_after_s(now),
        )

    def _judge(self, hosted: Hosted, reason: Reason, timing: Timing, permit: Permit) -> None:
        """What a refusal says of the model: most say nothing, and waiting in the queue neither."""
        if reason in ("failed", "unavailable"):
            hosted.breaker.record(self._clock(), "error", permit)
        elif reason == "deadline" and timing.started:
            hosted.breaker.record(self._clock(), "slow", permit)
        else:
            hosted.breaker.release(permit)

    async def _answer(
        self, request: Request, hosted: Hosted, deadline_s: float, timing: Timing
    ) -> Answer:
        key_of = self._keys_for(request, hosted)
        answers: dict[int, Any] = {}
        tokens = cached = 0
        todo: list[int] = list(range(len(request.inputs)))
        charged = False
        while todo:
            leads: dict[int, Lead] = {}
            waits: dict[int, Wait] = {}
            own: dict[int, Any] = {}
            try:
                for place in todo:
                    if key_of is None:
                        own[place] = request.inputs[place]
                        continue
                    claim = self._claim(key_of, request.inputs[place], deadline_s)
                    if isinstance(claim, Hit):
                        answers[place] = claim.value
                        tokens += claim.tokens
                        cached += 1
                    elif isinstance(claim, Lead):
                        leads[place] = claim
                        own[place] = request.inputs[place]
                    else:
                        waits[place] = claim
                if own or not charged:
                    rows = await self._compute(
                        request, hosted, own, deadline_s, timing, tokens if not charged else 0
                    )
                    charged = True
                    for place, value in rows.answers.items():
                        answers[place] = value
                        tokens += rows.tokens[place]
                        if place in leads:
                            leads.pop(place).done(value, rows.tokens[place])
            finally:
                for lead in leads.values():
                    lead.failed()
            todo = []
            for place, wait in waits.items():
                got = await self._before(deadline_s, wait.result())
                if got is None:  # whoever computed it has failed; it is our turn
                    todo.append(place)
                    continue
                self._pay(request, got[1])
                answers[place] = got[0]
                tokens += got[1]
                cached += 1
        timing.total_s = self._clock() - request.arrived_s
        if request.noted is not None:
            request.noted["tokens"], request.noted["cached"] = tokens, cached
        return Answer(
            rows=[answers[place] for place in range(len(request.inputs))],
            hosted=hosted,
            tokens=tokens,
            cached=cached,
            timing=timing,
        )

    def _keys_for(self, request: Request, hosted: Hosted) -> RowKeys | None:
        """Input -> key; None where nothing is cached."""
        if not (request.use_cache and hosted.settings.cache):
            return None
        tenant = request.tenant.name if self.settings.cache.per_tenant else ""
        try:
            return hosted.keys.under(request.options, tenant=tenant)
        except InputError as error:
            raise RefusedError("unprocessable", str(error)) from None

    def _claim(self, key_of: RowKeys, row: Any, deadline_s: float) -> Claim:
        try:
            key = key_of(row)
        except InputError as error:
            raise RefusedError("unprocessable", str(error)) from None
        return self.cache.claim(key, self._clock(), by_s=deadline_s)

    async def _compute(
        self,
        request: Request,
        hosted: Hosted,
        inputs: Mapping[int, Any],
        deadline_s: float,
        timing: Timing,
        tokens_before: int,
    ) -> Rows:
        """Tokenise, pay, wait in the queue, and go on until all is answered."""
        priority = request.priority
        if priority is None:
            priority = PRIORITIES[hosted.settings.priority]
        sizes = [characters_of(value) for value in inputs.values()]
        if sizes:
            longest = hosted.spec.task.max_tokens
            asked_for = request.options.get("max_length")
            if isinstance(asked_for, int):
                longest = max(1, min(longest, asked_for))
            least = tuple(min(size // _MOST_CHARACTERS + 1, longest) for size in sizes)
            self.dispatcher.foresee(hosted, least, deadline_s=deadline_s, priority=priority)
        rows = Rows(hosted.pipeline, inputs, request.options)
        inline = sum(sizes) <= _INLINE_CHARACTERS
        began = self._clock()
        asked = rows.begin() if inline else await self._in_thread(deadline_s, rows.begin)
        timing.tokenize_s += self._clock() - began
        price = tokens_before + sum(rows.tokens.values())
        self._pay(request, price)
        first = True
        while asked is not None:
            try:
                ticket = self.dispatcher.submit(
                    hosted,
                    asked,
                    deadline_s=deadline_s,
                    priority=priority,
                    tenant=request.tenant.name,
                    admitted=not first,
                )
            except RefusedError:
                self.rates.refund(request.tenant, request.client, price)
                raise
            first = False
            timer = asyncio.get_running_loop().call_later(
                max(0.0, deadline_s - self._clock()), _too_late, ticket.future
            )
            try:
                got = await ticket.future
            finally:
                timer.cancel()
                self.dispatcher.withdraw(ticket)
                if ticket.started_s is not None:
                    timing.started = True
                    timing.queue_s += ticket.started_s - ticket.submitted_s
                timing.inference_s += ticket.inference_s
            began = self._clock()
            asked = (
                rows.go_on(got) if inline else await self._in_thread(deadline_s, rows.go_on, got)
            )
            timing.tokenize_s += self._clock() - began
        return rows

    def _pay(self, request: Request, tokens: int) -> None:
        retry_after_s = self.rates.charge(request.tenant, request.client, tokens, self._clock())
        if retry_after_s is not None:
            raise RefusedError(
                "rate_limited",
                "this client's share of tokens is used up",
                retry_after_s=retry_after_s,
            )

    async def _in_thread(
        self, deadline_s: float, work: Callable[..., _Value], *given: Any
    ) -> _Value:
        loop = asyncio.get_running_loop()
        return await self._before(deadline_s, loop.run_in_executor(self._texts, work, *given))

    async def _before(self, deadline_s: float, coming: Awaitable[_Value]) -> _Value:
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock())):
                return await coming
        except TimeoutError:
            raise RefusedError("deadline", "the answer was not ready in time") from None


def _too_late(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(RefusedError("deadline", "the answer was not ready in time"))

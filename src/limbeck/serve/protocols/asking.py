"""From the fields of a call to an answer of the service, with what log and metrics want noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.serve.protocols import fields
from limbeck.serve.protocols.base import Call, Context
from limbeck.serve.request import Answer, Request
from limbeck.spec import Task


async def ask(
    context: Context,
    call: Call,
    inputs: Sequence[Any],
    *,
    model: str | None = None,
    version: str | None = None,
    task: Task | None = None,
    options: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    priority: int | None = None,
    use_cache: bool | None = None,
) -> Answer:
    """The answer of the service to inputs that are within the limits.

    Args: as those of `Request`; use_cache: None for what the headers say.

    Raises:
        RefusedError: see `Service.answer`; too_large.
    """
    fields.within_limits(inputs, context.settings.limits)
    answer = await context.service.answer(
        Request(
            inputs=tuple(inputs),
            arrived_s=call.arrived_s,
            model=model,
            version=version,
            task=task,
            options=dict(options or {}),
            timeout_s=timeout_s,
            priority=priority,
            tenant=call.tenant,
            use_cache=fields.use_cache(call) if use_cache is None else use_cache,
            waiting=call.waiting,
        )
    )
    note(call, answer)
    return answer


def note(call: Call, answer: Answer) -> None:
    """Add what an answer took to what is known of the call; of several answers, all of it."""
    noted = call.noted
    noted["model"] = answer.hosted.name
    noted["version"] = answer.hosted.version
    noted["rows"] = noted.get("rows", 0) + len(answer.rows)
    noted["tokens"] = noted.get("tokens", 0) + answer.tokens
    noted["cached"] = noted.get("cached", 0) + answer.cached
    known = noted.get("timing")
    # Several answers are awaited together: the slowest one is what the client waits for.
    if known is None or known.total_s < answer.timing.total_s:
        noted["timing"] = answer.timing

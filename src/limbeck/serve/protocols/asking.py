"""From the fields of a call to a model, and to an answer of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.serve.models import Hosted
from limbeck.serve.protocols import fields
from limbeck.serve.protocols.base import Call, Context
from limbeck.serve.request import Answer
from limbeck.spec import Task


async def hosted(
    context: Context, call: Call, name: str | None, version: str | None = None
) -> Hosted:
    """The model of that name, loaded; None: the default.

    Raises:
        RefusedError: see `Service.hosted`; forbidden, and nothing is loaded then.
    """
    if call.tenant.models is not None:
        asked, _ = context.service.models.slot(name, version)
        call.tenant.check(asked)
    return await context.service.hosted(name, version)


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
    return await context.service.answer(
        call.request(
            inputs,
            model=model,
            version=version,
            task=task,
            options=dict(options or {}),
            timeout_s=timeout_s,
            priority=priority,
            use_cache=fields.use_cache(call) if use_cache is None else use_cache,
        )
    )

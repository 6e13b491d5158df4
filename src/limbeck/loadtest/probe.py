"""One request before the load: what it would only repeat a thousand times is said at once."""

from __future__ import annotations

import asyncio

from limbeck.errors import TargetError
from limbeck.loadtest.once import Answer, Door, ask
from limbeck.loadtest.run import reach
from limbeck.loadtest.target import Target, address, wire

# Statuses that a busy server gives too: the load is what will tell.
_OF_LOAD = (408, 429)


def first_answer(target: Target, timeout_s: float = 30.0) -> Answer | None:
    """Send the target's first request; None where no whole answer came in that time.

    Raises:
        TargetError: nobody listens there.
    """
    to = address(target.url)
    door = Door(host=reach(to), port=to.port, secure=to.secure, server_name=to.host)
    try:
        return asyncio.run(ask(door, wire(target.requests[0], to), timeout_s, door.context()))
    except OSError as error:
        raise TargetError(f"no connection to {target.url}: {error}") from None


def check(target: Target) -> None:
    """Raise where the server turns the first request away for what it is.

    Raises:
        TargetError: it cannot be reached, or answers with a redirect, a client's error, or 200
            with a body that is no answer.
    """
    answer = first_answer(target)
    if answer is None:
        return
    request, status = target.requests[0], answer.status
    said = answer.body[:300].decode("utf-8", "replace").strip()
    where = f"{request.method} {request.path}"
    if 300 <= status < 500 and status not in _OF_LOAD:
        hint = {
            401: "; give a key with --api-key or --header",
            403: "; give a key with --api-key or --header",
            404: "; check --protocol, --model and the URL",
        }.get(status, "")
        raise TargetError(f"the server answered {where} with status {status}: {said}{hint}")
    if status == 200 and request.check is not None and not request.check(answer.body):
        raise TargetError(
            f"the server's answer to {where} is none of this protocol; check --protocol: {said}"
        )

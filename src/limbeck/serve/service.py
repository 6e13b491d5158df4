"""The heart: a request goes in at the top, and its answer or a refusal comes out."""

from __future__ import annotations

from limbeck.serve.models import Hosted
from limbeck.serve.request import Answer, Request


class Service:
    """All that is shared between protocols. Lives in one event loop."""

    async def answer(self, request: Request) -> Answer:
        """The answer to a request, before its deadline.

        Raises:
            RefusedError: it gets none; the reason says why.
        """
        raise NotImplementedError

    async def hosted(self, name: str | None, version: str | None = None) -> Hosted:
        """The model of that name, loaded.

        Raises:
            RefusedError: not_found, or unavailable where it cannot be loaded.
        """
        raise NotImplementedError

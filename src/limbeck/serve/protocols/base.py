"""What a protocol gets and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from limbeck.serve.refused import RefusedError
from limbeck.serve.request import ANYBODY, Request, Tenant

if TYPE_CHECKING:
    from limbeck.serve.service import Service
    from limbeck.serve.settings import Settings

Scope = Literal["predict", "admin", "open"]


@dataclass(slots=True, kw_only=True)
class Call:
    """An HTTP request whose body has been read within all limits.

    path: the values of the route's placeholders, decoded. headers: names in lower case. arrived_s:
    time.monotonic() when the head was read. client: the address of the connection. noted: see
    `Request`.
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    arrived_s: float
    tenant: Tenant = ANYBODY
    client: str = ""
    request_id: str = ""
    noted: dict[str, Any] = field(default_factory=dict)

    def request(self, inputs: Sequence[Any], **fields: Any) -> Request:
        """A `Request` of this call; fields: those of Request that the protocol knows."""
        return Request(
            inputs=tuple(inputs),
            arrived_s=self.arrived_s,
            tenant=self.tenant,
            client=self.client,
            noted=self.noted,
            **fields,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP response."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation.

    path: with placeholders in braces, as in "/v1/models/{name}/predict". scope: what a key must be
    allowed; "open" asks for none. error: a refusal in the words of the protocol. operation: its
    entry in the OpenAPI document, with schemas in place. protocol: label of metrics and logs.
    """

    protocol: str
    method: Literal["GET", "POST"]
    path: str
    handle: Callable[[Call], Awaitable[Reply]]
    error: Callable[[RefusedError], Reply]
    operation: Mapping[str, Any]
    scope: Scope = "predict"


@dataclass(frozen=True, kw_only=True)
class Context:
    """What protocols are made of. reload: reads the configuration again and takes it over; None:
    there is nothing to read, and files of models are looked at only.
    """

    service: Service
    settings: Settings
    reload: Callable[[], Awaitable[None]] | None = None

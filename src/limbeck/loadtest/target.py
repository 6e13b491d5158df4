"""What is sent: prepared requests, and what counts as an answer."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from limbeck.errors import InputError

# Stands in a body where each request sent has a number of its own (sixteen hexadecimal digits):
# a transaction id, or a text that no cache has seen. At most one in a body.
UNIQUE = "@limbeck-unique@"
assert len(UNIQUE) == 16

# Body of an answer with status 200 -> is it a valid one? For several processes it must be a
# function of a module, or a value whose class is one: it travels by name.
Check = Callable[[bytes], bool]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prepared request.

    deadline_ms: answers after that are late; None: none is. group: a name under which the report
    counts it apart (a deadline, a priority). rows: texts in it.
    """

    method: str = "POST"
    path: str = "/"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    check: Check | None = None
    deadline_ms: float | None = None
    group: str = ""
    rows: int = 1

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or any(sign in self.path for sign in " \r\n"):
            raise InputError(f"a path must begin with / and have no spaces, found {self.path!r}")
        for name, value in self.headers:
            if not name or any(sign in name + value for sign in "\r\n\0") or ":" in name:
                raise InputError(f"header {name!r} cannot be sent")
            if not (name + value).isascii():
                raise InputError(f"header {name!r} has characters beyond ASCII")
        if self.deadline_ms is not None and not 0 < self.deadline_ms < float("inf"):
            raise InputError(f"a deadline must be positive, found {self.deadline_ms} ms")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a URL leads."""

    host: str
    port: int
    secure: bool
    prefix: str  # of every path, without a last slash

    @property
    def named(self) -> str:
        """As a Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def address(url: str) -> Address:
    """The address of an http or https URL.

    Raises:
        InputError: it is none.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is not a URL such as http://127.0.0.1:8080")
    if parts.query or parts.fragment or parts.username is not None:
        raise InputError(f"{url!r}: give host, port and path alone; keys go into a header")
    secure = parts.scheme == "https"
    return Address(
        host=parts.hostname,
        port=port if port is not None else (443 if secure else 80),
        secure=secure,
        prefix=parts.path.rstrip("/"),
    )


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server and the requests it gets, over and over, in this order or drawn.

    Raises:
        InputError: no URL, or no requests.
    """

    url: str
    requests: Sequence[Request] = field(repr=False)

    def __post_init__(self) -> None:
        address(self.url)
        if not self.requests:
            raise InputError("there is nothing to send: no requests")


@dataclass(frozen=True)
class Wire:
    """A request as bytes. With `tail`, sixteen digits go between the two."""

    head: bytes
    tail: bytes | None
    check: Check | None
    deadline_s: float

    def numbered(self, number: int) -> bytes:
        """The bytes of one sending; number: below 2**64."""
        if self.tail is None:
            return self.head
        return b"%b%016x%b" % (self.head, number, self.tail)


def wire(request: Request, to: Address) -> Wire:
    """HTTP/1.1 bytes of a request.

    Raises:
        InputError: the body has more than one place for a number of its own.
    """
    lines = [f"{request.method} {to.prefix}{request.path} HTTP/1.1", f"Host: {to.named}"]
    given = {name.lower() for name, _ in request.headers}
    if request.body and "content-type" not in given:
        lines.append("Content-Type: application/json")
    if request.body or request.method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(request.body)}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    before, found, after = request.body.partition(UNIQUE.encode())
    if UNIQUE.encode() in after:
        raise InputError(f"a body may hold {UNIQUE} once")
    deadline_s = float("inf") if request.deadline_ms is None else request.deadline_ms / 1e3
    return Wire(
        head=("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + before,
        tail=after if found else None,
        check=request.check,
        deadline_s=deadline_s,
    )

"""API keys: who asks, and whether the key may do that."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256

from limbeck.serve.protocols.base import Scope
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import ANYBODY, Tenant
from limbeck.serve.settings import KeySettings

_KEY_BYTES = 32


def new_key() -> tuple[str, str]:
    """A new random key, and its SHA-256 in hex, which is all that a server stores.

    The key has 256 random bits: a plain hash of it cannot be guessed back, unlike a password's.
    """
    key = f"lk-{secrets.token_urlsafe(_KEY_BYTES)}"
    return key, sha256(key.encode()).hexdigest()


class Keys:
    """The keys of one port; without any, everybody is ANYBODY and may do all but "admin"."""

    def __init__(self, keys: Sequence[KeySettings]) -> None:
        self._known = tuple((bytes.fromhex(key.sha256), _tenant(key)) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._known)

    def tenant(self, headers: Mapping[str, str], scope: Scope) -> Tenant:
        """Who sends these headers.

        Raises:
            RefusedError: unauthorized: no key, or none that is known; forbidden: it may not do it.
        """
        if scope == "open" or (not self._known and scope == "predict"):
            return ANYBODY
        given = _given(headers)
        if given is None:
            raise RefusedError(
                "unauthorized",
                "an API key is needed, as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
            )
        digest = sha256(given.encode("utf-8", "surrogateescape")).digest()
        found: Tenant | None = None
        # All are compared, each in constant time: how long it takes tells nothing about any.
        for known, tenant in self._known:
            if hmac.compare_digest(known, digest):
                found = tenant
        if found is None:
            raise RefusedError("unauthorized", "the API key is not known")
        if scope not in found.scopes:
            raise RefusedError("forbidden", f"the API key {found.name!r} may not do {scope!r}")
        return found


def _given(headers: Mapping[str, str]) -> str | None:
    authorization = headers.get("authorization")
    if authorization is not None:
        kind, _, key = authorization.partition(" ")
        if kind.lower() == "bearer" and key.strip():
            return key.strip()
    return headers.get("x-api-key") or None


def _tenant(key: KeySettings) -> Tenant:
    return Tenant(
        name=key.name,
        scopes=frozenset(key.scopes),
        models=None if key.models is None else frozenset(key.models),
        tokens_per_s=key.tokens_per_s,
        burst_tokens=key.burst_tokens,
    )

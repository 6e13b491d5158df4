"""Shares in tokens: a bucket for each tenant, and for each address where no key is needed.

Tokens count as the model sees them, for they are what costs. Pure: told the time, in seconds of a
clock that does not run backwards; should it, buckets stay as they are until it has caught up, so
that no stretch of time counts twice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from limbeck.serve.refused import RefusedError
from limbeck.serve.request import Tenant

# A share without a burst of its own may be used this many seconds at a time.
BURST_S: Final = 10.0
# Addresses that are remembered. One that is forgotten begins with a full bucket, but to be
# forgotten it must be the longest silent of so many.
_ADDRESSES = 65_536
# Who has one IPv6 address has all of its network, so that is what counts.
_IPV6_NETWORK_BITS = 64


@dataclass(slots=True)
class _Bucket:
    """level: tokens in it at time at_s."""

    level: float
    at_s: float


class Rates:
    """tokens_per_s, burst_tokens: of each address without a key; None: no limit, and a burst of
    `BURST_S`. A tenant's own are in the `Tenant`.
    """

    def __init__(
        self,
        *,
        tokens_per_s: float | None = None,
        burst_tokens: float | None = None,
        addresses: int = _ADDRESSES,
    ) -> None:
        self._anonymous = Tenant(tokens_per_s=tokens_per_s, burst_tokens=burst_tokens)
        # As many as there are keys in the configuration.
        self._tenants: dict[str, _Bucket] = {}
        self._addresses: LRUCache[str, _Bucket] = LRUCache(addresses)

    def charge(self, tenant: Tenant, address: str, tokens: int, now: float) -> float | None:
        """Take a request's tokens. None: they were there; else nothing is taken, and in so many
        seconds they will be there.

        address: of the client; counts where the tenant has no name.

        Raises:
            RefusedError: too_large: more than the bucket holds when it is full.
        """
        share = tenant if tenant.name else self._anonymous
        rate = share.tokens_per_s
        if rate is None:
            return None
        burst = _burst(share, rate)
        if tokens > burst:
            whose = "this key's" if tenant.name else "a client's"
            raise RefusedError(
                "too_large",
                f"the request has {tokens} tokens, and {whose} share allows {burst:g} at once; "
                "send its texts in several requests",
            )
        buckets, place = self._place(tenant, address)
        bucket = buckets.get(place)
        if bucket is None:
            bucket = buckets[place] = _Bucket(burst, now)
        if now > bucket.at_s:
            bucket.level += (now - bucket.at_s) * rate
            bucket.at_s = now
        # Also where the share became smaller with a new configuration.
        bucket.level = min(bucket.level, burst)
        if tokens <= bucket.level:
            bucket.level -= tokens
            return None
        return (tokens - bucket.level) / rate

    def refund(self, tenant: Tenant, address: str, tokens: int) -> None:
        """Give back what `charge` took, for a request that the server then would not take: refused
        by admission, the breaker or a full queue. What was begun is not given back, be it
        cancelled, late or failed: it has cost what it costs.
        """
        share = tenant if tenant.name else self._anonymous
        rate = share.tokens_per_s
        if rate is None:
            return
        buckets, place = self._place(tenant, address)
        bucket = buckets.get(place)
        if bucket is not None:  # a forgotten one is full when it comes back
            bucket.level = min(bucket.level + tokens, _burst(share, rate))

    @property
    def buckets(self) -> int:
        """How many are kept."""
        return len(self._tenants) + len(self._addresses)

    def _place(self, tenant: Tenant, address: str) -> tuple[MutableMapping[str, _Bucket], str]:
        if tenant.name:
            return self._tenants, tenant.name
        return self._addresses, _client(address)


def _burst(share: Tenant, rate: float) -> float:
    return rate * BURST_S if share.burst_tokens is None else share.burst_tokens


def _client(address: str) -> str:
    """An IPv4 address as it is, of an IPv6 address its network."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:  # no address of the internet: a test's, or a socket's name
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_NETWORK_BITS), strict=False))

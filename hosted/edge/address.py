"""Where a request comes from."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

UNKNOWN = "unknown"
KNOWN = 4096
"""Addresses whose forms are remembered."""


def address_of(scope: Scope, trusted_proxies: int) -> str:
    """The address of who asks; behind proxies what the outermost trusted one wrote into X-Forwarded-For.

    Each proxy adds to the end of the header whom it was asked by, so only that many entries from the end can be believed;
    with fewer entries than proxies somebody went around one, and the connection's own address counts.
    """
    client = scope.get("client")
    peer = _plain(client[0]) if client else None
    if trusted_proxies > 0:
        entries = [one for line in Headers(scope=scope).getlist("x-forwarded-for") for one in line.split(",")]
        if len(entries) >= trusted_proxies and (named := _plain(entries[-trusted_proxies])):
            return named
    return peer or UNKNOWN


@lru_cache(maxsize=KNOWN)
def bucket_of(address: str) -> str:
    """What is counted as one: an address, or the /64 of an IPv6 one, which is the least that somebody has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


@lru_cache(maxsize=KNOWN)
def _plain(text: str) -> str | None:
    text = text.strip()
    if text.startswith("["):  # [v6]:port
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # v4:port
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)


@lru_cache(maxsize=KNOWN)
def is_here(address: str) -> bool:
    """Whether it is this machine itself: who can ask from there has better means to keep it busy."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False

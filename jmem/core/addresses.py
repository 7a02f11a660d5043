"""Where a secret may be sent: addresses of accounts, and which of them are this machine."""

from __future__ import annotations

from jmem.core.errors import Invalid


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def account_address(url: str) -> str:
    """The address of a hosted account or of its sign-in, without a slash at its end: over TLS, or on this machine.

    Raises Invalid `bad_address`.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
        more = parts.username is not None or bool(parts.query or parts.fragment) or not url.isprintable()
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    except ValueError:
        named = more = safe = False
    if not (named and safe) or more:
        raise Invalid("the account's address begins with https:// and names a host", code="bad_address", field="url",
                      fix="jmem config set hosted.url https://…")  # fmt: skip
    return url.rstrip("/")

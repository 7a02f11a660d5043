"""What a browser brings and is given: cookies, the form's token, where to go on, and the headers of every page."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from datetime import UTC, tzinfo
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from hosted.web.sessions import LIFETIME, csrf_token
from jmem.core.errors import Refused

SESSION, VISITOR, FLASH, FLOW = "session", "visitor", "flash", "flow"
VISITOR_AGE, FLASH_AGE, FLOW_AGE = 86_400, 120, 3_600
MAX_NEXT = 2_000
ZONE = "jmem-zone"
"""The cookie in which the page's script notes the time zone."""
_RUNS = ("", "javascript", "data", "vbscript", "file", "blob", "about")
"""Schemes of addresses that would run something in this browser; "": none."""
_HOST = re.compile(r"[a-z0-9._:-]+")
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
       " frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'")  # fmt: skip
HEADERS = {
    "content-security-policy": CSP,
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "vary": "Cookie, HX-Request",
}


class Cookies:
    """Names and attributes of our cookies. Over https they are bound to this very host (`__Host-`)."""

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure

    def name(self, what: str) -> str:
        """The cookie's name."""
        return f"__Host-jmem-{what}" if self._secure else f"jmem-{what}"

    def read(self, request: Request, what: str) -> str:
        """Its value; empty when there is none."""
        return request.cookies.get(self.name(what), "")

    def give(self, response: Response, what: str, value: str, age: int) -> None:
        """Set it, for `age` seconds."""
        response.set_cookie(self.name(what), value, max_age=age, path="/", secure=self._secure, httponly=True,
                            samesite="lax")  # fmt: skip

    def take(self, response: Response, what: str) -> None:
        """Take it away."""
        response.delete_cookie(self.name(what), path="/", secure=self._secure, httponly=True, samesite="lax")

    def give_session(self, response: Response, secret: str) -> None:
        """The cookie that is the session."""
        self.give(response, SESSION, secret, int(LIFETIME.total_seconds()))


def new_visitor() -> str:
    """The secret of a browser that is not signed in: its forms' token is made from it."""
    return secrets.token_urlsafe(32)


def _ours(request: Request, origins: frozenset[str]) -> frozenset[str]:
    host = request.headers.get("host", "")
    return origins | {f"http://{host}", f"https://{host}"}


def is_ours(request: Request, origins: frozenset[str]) -> bool:
    """Whether the browser itself says that a page of ours has sent this, whatever token it has."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    return site in (None, "same-origin") and origin in _ours(request, origins)


def check_form(request: Request, given: str, secret: str, origins: frozenset[str]) -> None:
    """Refuse a form that no page of ours has sent; raises Refused `stale_form`."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site in ("cross-site", "same-site") or (origin and origin not in _ours(request, origins))
    if foreign or not secret or not hmac.compare_digest(given.encode(), csrf_token(secret).encode()):
        raise Refused("this form was opened too long ago, or in another session", code="stale_form",
                      fix="go back, reload the page and send it again")  # fmt: skip


def safe_next(wanted: str, otherwise: str = "/memories") -> str:
    """An address of this site, whatever is asked for: never another site, never another scheme."""
    if not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or len(wanted) > MAX_NEXT or "\\" in wanted:
        return otherwise
    if not wanted.isascii() or not wanted.isprintable():
        return otherwise
    parts = urlsplit(wanted)
    return wanted if not parts.scheme and not parts.netloc else otherwise


def path_of(address: str) -> str:
    """The path of an address that a browser names; empty for what is none."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def outside(address: str) -> str:
    """An address of another program that a person may be sent to; empty for one that `place_of` has no words for."""
    return address if place_of(address) else ""


def place_of(address: str) -> str:
    """Where a browser would go with the address of a program, in words; empty where it would run something here, or where
    what is read here may be another place than the browser's.

    The host of a scheme that is not of the web is whatever the program likes, and tells nothing.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme in _RUNS or not address.isprintable():
        return ""
    if scheme not in ("http", "https"):
        return f"{scheme}: on this device"
    # browsers take "\\" for "/", do without "//", and read escapes and letters beyond ASCII in a host each in their own way
    if not _HOST.fullmatch(host) or "\\" in address or not address[len(scheme) :].startswith("://"):
        return ""
    return "a program on this device" if host in ("127.0.0.1", "localhost", "::1") else host


def zone_of(request: Request) -> tzinfo:
    """The zone that the person's times are written in; UTC as long as no script has told it."""
    try:
        return ZoneInfo(request.cookies.get(ZONE, "UTC")[:64])
    except (KeyError, ValueError, OSError):  # unknown; no name at all; a folder of them
        return UTC


def packed(value: dict[str, Any]) -> str:
    """A small object as a cookie's value."""
    return quote(json.dumps(value, separators=(",", ":")), safe="")


def unpacked(value: str) -> dict[str, Any]:
    """What `packed` made; {} for anything else."""
    try:
        found = json.loads(unquote(value)) if value else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

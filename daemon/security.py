"""Who may talk to the daemon.

The unix socket belongs to its owner by its file mode. On 127.0.0.1 anything may knock, web pages included: a page of
another site is told apart by Origin, a name that was rebound to this machine by Host, another program by its token.
Nothing here ever answers with a CORS header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.server import LOCAL
from jmem.core.errors import Refused, Unauthorized
from jmem.core.wire.refusals import HttpProblem

_SINGLE = (b"host", b"origin", b"authorization", b"content-length", b"x-jmem-user", b"x-jmem-client")
DEFAULT_USER = "default"
IDENTITY = "jmem.identity"
"""scope key: the Identity of an admitted request"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose memory a request is about, and by which way it came. No user for what needs none."""

    local: bool
    user: str | None
    client: str


class Gate:
    """Admits requests; one for the daemon's life."""

    def __init__(self, port: int, user_of_token: Callable[[str], str | None]) -> None:
        names = ("127.0.0.1", "localhost", "[::1]")
        self._hosts = {f"{name}:{port}".encode() for name in names}
        self._origins = {f"http://{name}:{port}".encode() for name in names[:2]}
        if port == 80:
            self._hosts |= {name.encode() for name in names}
            self._origins |= {f"http://{name}".encode() for name in names[:2]}
        self._user_of_token = user_of_token

    def admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Identity:
        """The identity behind a request; raises HttpProblem 400, 403, 421, or Unauthorized."""
        if len(headers) != len(scope["headers"]):
            _refuse_doubles(scope["headers"])
        origin = headers.get(b"origin")
        if scope.get(LOCAL):
            if origin is not None:
                raise HttpProblem(403, "wrong_origin", "web pages can't use the socket")
            return Identity(True, _name(headers.get(b"x-jmem-user"), DEFAULT_USER), _name(headers.get(b"x-jmem-client"), "cli"))  # fmt: skip
        if headers.get(b"host", b"").lower() not in self._hosts:
            raise HttpProblem(421, "wrong_host", "this is a daemon for 127.0.0.1 only, by that name",
                              fix="use the address that `jmem status` shows")  # fmt: skip
        if origin is not None and origin not in self._origins:
            raise HttpProblem(403, "wrong_origin", "pages of other sites may not use this daemon")
        path: str = scope["path"]
        if path == "/health" or path.startswith("/mcp/"):
            return Identity(False, None, "api")
        return Identity(False, self._token_user(headers), "api")

    def _token_user(self, headers: Mapping[bytes, bytes]) -> str:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        user = self._user_of_token(token.strip().decode("latin-1")) if scheme.lower() == b"bearer" and token else None
        if user is None:
            raise Unauthorized("the HTTP API wants the bearer token of this machine", fix="jmem daemon token")
        asked = headers.get(b"x-jmem-user")
        if asked is not None and _name(asked, user) != user:
            raise Refused("this token belongs to another user", fix="jmem --user NAME daemon token")
        return user


def _refuse_doubles(headers: list[tuple[bytes, bytes]]) -> None:
    seen = set()
    for name, _ in headers:
        if name in seen and name in _SINGLE:
            raise HttpProblem(400, "bad_request", f"the header {name.decode()} is given twice")
        seen.add(name)


def _name(value: bytes | None, default: str) -> str:
    if not value:
        return default
    try:
        text = value.decode("ascii")
        if "%" in text:
            from urllib.parse import unquote

            text = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise HttpProblem(400, "bad_request", "names in headers are percent-encoded UTF-8") from None
    return text

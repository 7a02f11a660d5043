"""Waits on a port of this machine, 127.0.0.1 alone, for the one answer that a browser brings from the account's page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import socket
import sys
import time
from urllib.parse import parse_qs, quote, urlsplit

from jmem.core.errors import Refused, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REQUEST = 16 * 1024
REQUEST_S = 5.0
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;max-width:26rem;margin:18vh auto 0;padding:0 1.5rem}"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}p{margin:0}"
)
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>{title} · jmem</title><style>{style}</style><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
)


class Loopback:
    """A port, and what makes the answer worth something to this process alone (RFC 7636 and `state`)."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.state = secrets.token_urlsafe(24)
        self.verifier = secrets.token_urlsafe(48)

    def address(self, account: str, name: str) -> str:
        """The page to open. Nothing in it is secret."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return f"{account}/devices/new?challenge={challenge}&port={self.port}&state={self.state}&name={quote(name, safe='')}"

    def wait(self, seconds: float) -> str:
        """The code. Raises Refused when the person cancels, Unreachable when nothing comes in time."""
        deadline = time.monotonic() + seconds
        for connection in self._connections(deadline):
            with connection:
                found = self._answer(connection)
            if found is None:
                continue
            if found:
                return found
            raise Refused("the sign-in was cancelled in the browser", code="cancelled", fix="jmem login")
        raise Unreachable(f"nothing came from the browser within {seconds:.0f} seconds", code="no_browser_answer",
                          fix="jmem login   or, without a browser: jmem login --email ADDRESS")  # fmt: skip

    def close(self) -> None:
        """Let go of the port."""
        self._listening.close()

    def _connections(self, deadline: float) -> Iterator[socket.socket]:
        while (left := deadline - time.monotonic()) > 0:
            self._listening.settimeout(left)
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                return
            connection.settimeout(REQUEST_S)
            yield connection

    def _answer(self, connection: socket.socket) -> str | None:
        """The code of a request, "" for a cancelled sign-in, None for anything that is not from the page."""
        try:
            target = _target(connection)
            asked = parse_qs(urlsplit(target).query) if target.startswith("/?") else {}
            ours = hmac.compare_digest(asked.get("state", [""])[0].encode(), self.state.encode())
            if not ours:
                _send(connection, "404 Not Found", "Nothing is here", "jmem waits for its sign-in page.")
                return None
            code = asked.get("code", [""])[0]
            if code:
                _send(connection, "200 OK", "This computer is connected", "You can close this window.")
            else:
                _send(connection, "200 OK", "It is not connected", "You can close this window.")
            return code
        except (OSError, ValueError):
            return None


def _target(connection: socket.socket) -> str:
    """What a GET asks for; empty for any other request."""
    raw = b""
    while b"\r\n\r\n" not in raw and len(raw) < MAX_REQUEST:
        piece = connection.recv(4096)
        if not piece:
            break
        raw += piece
    words = raw.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    return words[1] if len(words) == 3 and words[0] == "GET" else ""


def _send(connection: socket.socket, status: str, title: str, text: str) -> None:
    body = _PAGE.format(title=title, text=text, style=_STYLE).encode()
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        f"content-security-policy: default-src 'none'; style-src 'sha256-{style}'\r\nreferrer-policy: no-referrer\r\ncache-control: no-store\r\n"
        "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    connection.shutdown(socket.SHUT_WR)


def open_browser(address: str) -> bool:
    """Show the page in the person's browser; False where there is none to be seen."""
    if not os.environ.get("BROWSER") and sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return False
    import webbrowser

    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False

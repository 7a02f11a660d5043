"""Session ids that prove themselves, so that a client that comes back after a restart is still known.

An id is 16 random hex digits, a dot, and a MAC over them, the user and the client. Nothing about a session
is kept: every request carries all it takes to answer it. The id serves as provenance (memories that one
conversation added share a thread), and one that was made for another user or client is unknown here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from jmem.core.model import SESSION_THREAD

MAX_ENDED = 10_000
SESSION_HEADER = "mcp-session-id"


class Sessions:
    """Makes and checks session ids. `secret` outlives the process."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"jmem mcp session\0" + secret).digest()
        self._ended: dict[str, None] = {}

    def new(self, user_id: str, client: str) -> str:
        """A fresh id of this user and client, in visible ASCII."""
        nonce = secrets.token_hex(8)
        return f"{nonce}.{self._mac(nonce, user_id, client)}"

    def known(self, session: str, user_id: str, client: str) -> bool:
        """Whether this user and client were given that id and have not ended it."""
        nonce, _, mac = session.partition(".")
        expected = self._mac(nonce, user_id, client)
        return hmac.compare_digest(mac.encode(), expected.encode()) and session not in self._ended

    def end(self, session: str) -> None:
        """Refuse the id from now on. Kept in memory only: a session holds nothing that could leak later."""
        self._ended[session] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _mac(self, nonce: str, user_id: str, client: str) -> str:
        text = "\0".join((nonce, user_id, client)).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:32]


def thread_of(client: str, session: str) -> str:
    """The thread of what a session adds: `mcp:claude:1f2e3d4c`."""
    return f"{SESSION_THREAD}{client}:{session[:8]}"

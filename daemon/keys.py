"""Keys of personal MCP URLs and API tokens: derived from one secret, so that they can be printed again.

A key stands for one user, one client and one generation of it; another generation revokes it. Nothing but the secret's
0600 file can make one.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from jmem.core.errors import StorageFailed

SECRET_BYTES = 32


def load_secret(home: Path) -> bytes:
    """The home's secret, made at first use; raises StorageFailed when it can't be read or written, or is damaged."""
    path = home / "secret"
    try:
        with contextlib.suppress(FileNotFoundError):
            return _decoded(path)
        part = path.with_name(f"secret.{os.getpid()}.part")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return _decoded(path)
    except OSError as error:
        raise StorageFailed(f"{path} can't be used: {error.strerror}", fix="jmem doctor") from None


def mcp_key(secret: bytes, user_id: str, client: str, generation: str) -> str:
    """The key of a user's client, in the shape of a UUID."""
    h = _mac(secret, "mcp", user_id, client, generation).hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:32]}"


def api_token(secret: bytes, user_id: str) -> str:
    """The bearer token of a user for the HTTP API on TCP."""
    return "jmem_" + _mac(secret, "api", user_id).hex()


def derived(secret: bytes, purpose: str) -> bytes:
    """A secret for one other purpose."""
    return _mac(secret, "derived", purpose)


def _mac(secret: bytes, *parts: str) -> bytes:
    # each part behind its length: no two lists of parts give the same message
    return hmac.digest(secret, b"".join(len(p.encode()).to_bytes(4) + p.encode() for p in parts), "sha256")


def _decoded(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise StorageFailed(f"{path} is damaged", code="bad_secret",
                            fix=f"remove {path} and restart: every client then needs connecting again")  # fmt: skip
    return secret

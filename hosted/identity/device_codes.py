"""The code by which a browser hands a machine its sign-in: worth something once, for two minutes, and only to the program
that began it.

The code names its account, since nobody is known yet who redeems it; what it proves is in its 256 random bits, of which
the database keeps a digest, and in the verifier of the challenge (RFC 7636, S256) that the page was opened with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.identity import audit
from hosted.identity.tables import device_codes
from jmem.core.errors import RateLimited, Unauthorized

LIFETIME = timedelta(minutes=2)
MAX_WAITING = 5
"""Codes of one account that are good at once."""
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CODE = re.compile(r"[A-Za-z0-9_-]{64}")


class BadCode(Unauthorized):
    """The code is used, too old, another program's or none."""

    code = "bad_code"

    def __init__(self) -> None:
        super().__init__("the code is used, older than two minutes, or not this program's", fix="jmem login")


async def make(conn: AsyncConnection, user_id: UUID, challenge: str, name: str) -> str:
    """A code for the machine that holds the challenge's verifier. Raises RateLimited."""
    mine = device_codes.c.user_id == user_id
    await conn.execute(delete(device_codes).where(mine, device_codes.c.expires_at < func.now()))
    if (await conn.execute(select(func.count()).select_from(device_codes).where(mine))).scalar_one() >= MAX_WAITING:
        raise RateLimited("several computers are being connected at this moment", retry_after=int(LIFETIME.total_seconds()),
                          fix="wait two minutes")  # fmt: skip
    code = base64.urlsafe_b64encode(user_id.bytes + secrets.token_bytes(32)).decode()
    await conn.execute(insert(device_codes).values(
        user_id=user_id, digest=_digest(code), challenge=challenge, name=name, expires_at=func.now() + LIFETIME,
    ))  # fmt: skip
    await audit.note(conn, user_id, "device.allowed", name=name)
    return code


def account_of(code: str) -> UUID:
    """Whose code it would be; nothing is proven by that. Raises BadCode."""
    if not _CODE.fullmatch(code):
        raise BadCode()
    return UUID(bytes=base64.urlsafe_b64decode(code)[:16])


async def take(conn: AsyncConnection, user_id: UUID, code: str, verifier: str) -> bool:
    """Use a code up, whatever comes of it; whether it was good, in time and the verifier's."""
    mine = (device_codes.c.user_id == user_id) & (device_codes.c.digest == _digest(code))
    in_time = text("expires_at >= now() AS in_time")
    row = (await conn.execute(delete(device_codes).where(mine).returning(device_codes.c.challenge, in_time))).first()
    if row is None or not row.in_time or not VERIFIER.fullmatch(verifier):
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(made, row.challenge)


def _digest(code: str) -> bytes:
    return hashlib.sha256(b"jmem device code 1\0" + code.encode()).digest()

"""The page's sessions: a row holds the Supabase tokens, sealed with a key that only the browser's cookie has.

Nobody but this module refreshes them, one at a time over all replicas, and the new tokens are kept before they are used:
a refresh token that is used twice would end the session.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, insert, or_, select, text, update

from hosted.db.engine import Database
from hosted.db.errors import AccountDeleted
from hosted.identity.errors import BadToken, IdentityUnavailable
from hosted.identity.supabase import Session, SignInRefused
from hosted.identity.tables import web_sessions

LIFETIME = timedelta(days=30)
"""A session that nobody uses for so long is over."""
EARLY = 60
"""Seconds before its end at which an access token is renewed."""
LEASE = timedelta(seconds=20)
"""How long one replica may take to renew a session's tokens before another tries."""
MAX_AGENT = 200
_HOLDER = text("SELECT * FROM jmem.web_session_holder(:digest)")
_LEASED = object()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is sealed; `expires_at` in seconds since the epoch."""

    access_token: str
    refresh_token: str
    expires_at: int
    email: str = ""

    @staticmethod
    def of(session: Session) -> Tokens:
        """Of what Supabase answered."""
        return Tokens(session.access_token, session.refresh_token, session.expires_at, session.email)


@dataclass(frozen=True, slots=True)
class Held:
    """A browser's session: its secret as the cookie has it, whose it is, and the tokens as of now."""

    secret: str = field(repr=False)
    user_id: UUID
    tokens: Tokens = field(repr=False)


class SignedOut(BadToken):
    """The session is over, here or at Supabase."""

    code = "signed_out"

    def __init__(self) -> None:
        super().__init__("you are signed out")


def csrf_token(secret: str) -> str:
    """What the forms of a session (or of a visitor) carry."""
    return hmac.new(secret.encode(), b"jmem form 1", hashlib.sha256).hexdigest()


class WebSessions:
    """Opens, finds, renews and ends sessions. `renew` asks Supabase for the next tokens."""

    def __init__(self, database: Database, renew: Callable[[str], Awaitable[Session]]) -> None:
        self._database, self._renew = database, renew
        self._running: dict[bytes, asyncio.Task[Tokens]] = {}

    async def open(self, session: Session, agent: str) -> str:
        """Keep a new session; the secret for the browser's cookie. Raises AccountDeleted through the database."""
        secret = secrets.token_urlsafe(32)
        values = {"user_id": session.user_id, "digest": _digest(secret), "sealed": _seal(secret, Tokens.of(session)),
                  "expires_at": func.now() + LIFETIME, "agent": _plain(agent)}  # fmt: skip
        async with self._database.tenant(session.user_id) as conn:
            over = (web_sessions.c.user_id == session.user_id) & (web_sessions.c.expires_at < func.now())
            await conn.execute(delete(web_sessions).where(over))
            await conn.execute(insert(web_sessions).values(values))
        return secret

    async def find(self, secret: str, *, ended: bool = False) -> Held:
        """The session of a cookie, its tokens renewed if they end soon; that it was used is kept, to the minute.

        Raises SignedOut, AccountDeleted, IdentityUnavailable when they have ended and Supabase does not answer; with
        `ended` it is the session with the tokens that have.
        """
        found = await self._holder(secret)
        if found.tokens.expires_at - time.time() > EARLY:
            return found
        try:
            return Held(secret, found.user_id, await self._renewed(found))
        except IdentityUnavailable:
            if found.tokens.expires_at <= time.time() and not ended:
                raise
            return found  # still good, or good enough; the next request tries again

    async def end(self, held: Held, *, others: bool = False) -> None:
        """Forget this session, or all others of the user."""
        mine = web_sessions.c.digest == _digest(held.secret)
        async with self._database.tenant(held.user_id) as conn:
            which = (web_sessions.c.user_id == held.user_id) & (~mine if others else mine)
            await conn.execute(delete(web_sessions).where(which))

    async def end_all(self, user_id: UUID) -> None:
        """Forget every session of the user."""
        async with self._database.tenant(user_id) as conn:
            await conn.execute(delete(web_sessions).where(web_sessions.c.user_id == user_id))

    async def listed(self, held: Held) -> list[tuple[str, datetime, datetime, bool]]:
        """The user's browsers: what each calls itself, when it signed in and was last here, and which one asks."""
        asked = select(web_sessions.c.agent, web_sessions.c.created_at, web_sessions.c.used_at,
                       web_sessions.c.digest == _digest(held.secret)).where(
            web_sessions.c.user_id == held.user_id, web_sessions.c.expires_at > func.now(),
        ).order_by(web_sessions.c.used_at.desc())  # fmt: skip
        async with self._database.tenant(held.user_id) as conn:
            return [(row[0], row[1], row[2], row[3]) for row in await conn.execute(asked)]

    # ---- inside -------------------------------------------------------------------------------

    async def _holder(self, secret: str) -> Held:
        if not 40 <= len(secret) <= 64 or not secret.isascii():
            raise SignedOut()
        async with self._database.engine.connect() as conn:
            row = (await conn.execute(_HOLDER, {"digest": _digest(secret)})).mappings().first()
        if row is None:
            raise SignedOut()
        if row["deleted"]:
            raise AccountDeleted()
        return Held(secret, row["user_id"], _open(secret, row["sealed"]))

    async def _renewed(self, held: Held) -> Tokens:
        """One renewal at a time in this process; whoever comes meanwhile waits for the same one."""
        digest = _digest(held.secret)
        if (task := self._running.get(digest)) is None:
            task = self._running[digest] = asyncio.create_task(self._renew_once(held, digest))
            task.add_done_callback(lambda _: self._running.pop(digest, None))
        return await asyncio.shield(task)

    async def _renew_once(self, held: Held, digest: bytes) -> Tokens:
        deadline = time.monotonic() + LEASE.total_seconds()
        while True:
            known = await self._take(held, digest)
            if known is not _LEASED:
                return known if isinstance(known, Tokens) else await self._ask(held, digest)
            if time.monotonic() > deadline:
                raise IdentityUnavailable("another request is renewing the session")
            await asyncio.sleep(0.1)

    async def _take(self, held: Held, digest: bytes) -> Any:
        """The tokens another replica got meanwhile, `_LEASED` while it is at it, None when it is ours to ask."""
        mine = (web_sessions.c.user_id == held.user_id) & (web_sessions.c.digest == digest)
        free = or_(web_sessions.c.refresh_until.is_(None), web_sessions.c.refresh_until < func.now())
        async with self._database.tenant(held.user_id) as conn:
            row = (
                await conn.execute(select(web_sessions.c.sealed, free.label("free")).where(mine).with_for_update())
            ).first()
            if row is None:
                raise SignedOut()
            tokens = _open(held.secret, row.sealed)
            if tokens.expires_at - time.time() > EARLY or tokens.refresh_token != held.tokens.refresh_token:
                return tokens
            if not row.free:
                return _LEASED
            await conn.execute(update(web_sessions).where(mine).values(refresh_until=func.now() + LEASE))
        return None

    async def _ask(self, held: Held, digest: bytes) -> Tokens:
        mine = (web_sessions.c.user_id == held.user_id) & (web_sessions.c.digest == digest)
        try:
            tokens = Tokens.of(await self._renew(held.tokens.refresh_token))
        except SignInRefused as refused:
            if refused.status in (429, 408):
                raise IdentityUnavailable(f"it answered with {refused.status}") from refused
            async with self._database.tenant(held.user_id) as conn:
                await conn.execute(delete(web_sessions).where(mine))
            raise SignedOut() from refused
        except IdentityUnavailable:
            async with self._database.tenant(held.user_id) as conn:
                await conn.execute(update(web_sessions).where(mine).values(refresh_until=None))
            raise
        values = {"sealed": _seal(held.secret, tokens), "refresh_until": None, "expires_at": func.now() + LIFETIME}
        async with self._database.tenant(held.user_id) as conn:
            await conn.execute(update(web_sessions).where(mine).values(values))
        return tokens


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"jmem web session 1\0" + secret.encode()).digest()


def _key(secret: str) -> bytes:
    return hashlib.sha256(b"jmem web session key 1\0" + secret.encode()).digest()


def _seal(secret: str, tokens: Tokens) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(_key(secret)).encrypt(nonce, json.dumps(asdict(tokens)).encode(), None)


def _open(secret: str, sealed: bytes) -> Tokens:
    try:
        return Tokens(**json.loads(AESGCM(_key(secret)).decrypt(sealed[:12], sealed[12:], None)))
    except (InvalidTag, ValueError, TypeError) as error:
        raise SignedOut() from error


def _plain(agent: str) -> str:
    return "".join(c for c in agent if c.isprintable())[:MAX_AGENT]

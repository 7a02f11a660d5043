"""Requests that may be sent twice and are carried out once: `Idempotency-Key`.

    reserved  somebody is at it (until `busy_until`); what they write is not committed
    applied   what they wrote is committed, in the transaction that said so; their answer is not kept yet
    answered  the answer is kept

A reservation is taken over only when its time is up, and what its first holder still tries to commit then fails with it.
So a request that died is carried out again exactly when nothing of it was committed; otherwise whoever asks again is told
that it was done and that the answer is lost.

Neither the key nor the answer can be read in the database: the row is found by a digest of the key, and the answer is
sealed with the key itself. Forgetting a memory for ever also forgets the account's kept answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.responses import Response

from hosted.db.engine import DATABASE_FAILURES, Database, before_commit, driver
from hosted.edge.context import Asker
from jmem.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


HEADER = "idempotency-key"
REPLAYED = {"idempotency-replayed": "true"}
MAX_KEY = 255
MAX_KEPT = 1024 * 1024
"""Bytes of an answer that is kept."""
GRACE_S = 15.0
"""How long a reservation outlives the time that its request may take."""
SWEEP_S = 900.0
log = logging.getLogger(__name__)

_RESERVE = """
INSERT INTO jmem.answers AS a (user_id, key, request, attempt, state, busy_until)
VALUES ($1, $2, $3, $4, 'reserved', now() + make_interval(secs => $5))
ON CONFLICT (user_id, key) DO UPDATE SET request = excluded.request, attempt = excluded.attempt, state = 'reserved',
    forgotten = false, created_at = now(), busy_until = excluded.busy_until, sealed = NULL
WHERE a.created_at < now() - interval '24 hours'
    OR (a.state = 'reserved' AND a.busy_until < now() AND a.request = excluded.request)
RETURNING attempt"""
_KNOWN = "SELECT request, state, forgotten, sealed, busy_until > now() AS busy FROM jmem.answers WHERE user_id = $1 AND key = $2"
_WROTE = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"
_APPLIED = "UPDATE jmem.answers SET state = 'applied' WHERE user_id = $1 AND key = $2 AND attempt = $3"
_KEEP = (
    "UPDATE jmem.answers SET state = 'answered', sealed = CASE WHEN forgotten THEN NULL ELSE $4::bytea END"
    " WHERE user_id = $1 AND key = $2 AND attempt = $3"
)
_RELEASE = "DELETE FROM jmem.answers WHERE user_id = $1 AND key = $2 AND attempt = $3 AND state = 'reserved'"
_current: ContextVar[Reservation | None] = ContextVar("reservation", default=None)


@dataclass(slots=True)
class Reservation:
    """A request that is being carried out for the first time."""

    user_id: UUID
    key: bytes
    request: bytes
    secret: bytes
    attempt: UUID
    open: bool = True

    async def mark(self, conn: AsyncConnection, user_id: UUID) -> None:
        """Say in the transaction that wrote something that it did; raises Conflict when the reservation was lost."""
        if not self.open or user_id != self.user_id:
            return
        raw = driver(conn)
        if await raw.fetchval(_WROTE) and await raw.execute(_APPLIED, user_id, self.key, self.attempt) != "UPDATE 1":
            raise _pending()


async def once(
    database: Database, principal: Asker, given: str, asked: bytes, patience: float, run: Callable[[], Awaitable[Response]]
) -> Response:  # fmt: skip
    """The answer of `run`, or the one that was kept when the same was asked with this key before.

    `asked` is all that makes the request what it is; `patience` the seconds that it may take. Raises Invalid
    `bad_idempotency_key` and `idempotency_reuse`, Conflict `in_progress` and `answer_gone`, and whatever `run` raises.
    """
    reservation = _reservation(principal, given, asked)
    kept = await _reserve(database, reservation, patience)
    if kept is not None:
        return kept
    tokens = before_commit.set(reservation.mark), _current.set(reservation)
    try:
        answer = await run()
    except BaseException:
        await asyncio.shield(_quietly(database, reservation, _RELEASE))
        raise
    finally:
        reservation.open = False
        before_commit.reset(tokens[0])
        _current.reset(tokens[1])
    sealed = _seal(reservation, answer)
    if sealed is not None and not await asyncio.shield(_quietly(database, reservation, _KEEP, sealed)):
        log.warning("an answer is not kept: whoever asks again is told so")
    return answer


def attempt() -> UUID | None:
    """The reservation under which the current request runs."""
    found = _current.get()
    return None if found is None else found.attempt


async def sweep(database: Database) -> int:
    """Forget what is older than a day now; how many answers."""
    async with database.tenant(UUID(int=0)) as conn:  # nobody's: the function alone looks past the tenant
        return int(await driver(conn).fetchval("SELECT jmem.forget_answers()"))


async def keep_sweeping(database: Database) -> None:
    """Forget what is older than a day, in all accounts, until it is cancelled."""
    while True:
        try:
            await sweep(database)
        except DATABASE_FAILURES as error:
            log.warning("old answers are not forgotten now: %s", type(error).__name__)
        await asyncio.sleep(SWEEP_S)


def _reservation(principal: Asker, given: str, asked: bytes) -> Reservation:
    text = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if not 0 < len(text) <= MAX_KEY or not text.isascii() or not text.isprintable():
        raise Invalid(f"an idempotency key is 1 to {MAX_KEY} printable ASCII characters", code="bad_idempotency_key",
                      field="Idempotency-Key", fix="a random UUID for each thing to be done")  # fmt: skip
    # whoever may do less must not be handed the answer to somebody who may do more
    holder = f"{principal.user_id} {principal.via} {principal.key_id or principal.client_id or ''}"
    secret = hashlib.sha256(b"jmem idempotency 1\0" + holder.encode() + b"\0" + text.encode()).digest()
    digest = hmac.digest(secret, b"row", "sha256")
    return Reservation(principal.user_id, digest, hmac.digest(secret, asked, "sha256"), secret, uuid4())


async def _reserve(database: Database, mine: Reservation, patience: float) -> Response | None:
    """None when it is ours to carry out; else the answer that was kept. Raises Invalid, Conflict."""
    async with database.tenant(mine.user_id) as conn:
        raw = driver(conn)
        asked = (mine.user_id, mine.key, mine.request, mine.attempt, patience + GRACE_S)
        if await raw.fetchval(_RESERVE, *asked) == mine.attempt:
            return None
        known = await raw.fetchrow(_KNOWN, mine.user_id, mine.key)
    if known is None:  # released this moment
        raise _pending()
    if not hmac.compare_digest(known["request"], mine.request):
        raise Invalid("this idempotency key was used for another request", code="idempotency_reuse",
                      field="Idempotency-Key", fix="a new key for each thing to be done")  # fmt: skip
    if known["state"] == "answered" and known["sealed"] is not None:
        return _unseal(mine, known["sealed"])
    if known["state"] != "answered" and known["busy"]:
        raise _pending()
    raise Conflict("this was carried out before, at least in part, and its answer is not kept", code="answer_gone",
                   fix="look whether it is done; ask anew with another key if it is not")  # fmt: skip


def _pending() -> Conflict:
    return Conflict("the same request is being carried out", code="in_progress", retry_after=1,
                    fix="ask again in a second, with the same key")  # fmt: skip


def _seal(mine: Reservation, answer: Response) -> bytes | None:
    body = getattr(answer, "body", None)
    if not isinstance(body, bytes) or len(body) > MAX_KEPT:
        return None
    head = json.dumps({"status": answer.status_code, "media": answer.headers.get("content-type")}).encode()
    nonce = os.urandom(12)
    return nonce + AESGCM(hmac.digest(mine.secret, b"seal", "sha256")).encrypt(nonce, head + b"\n" + body, mine.request)


def _unseal(mine: Reservation, sealed: bytes) -> Response:
    try:
        opened = AESGCM(hmac.digest(mine.secret, b"seal", "sha256")).decrypt(sealed[:12], sealed[12:], mine.request)
    except InvalidTag:
        raise Conflict("the kept answer is damaged", code="answer_gone", fix="look whether it is done") from None
    head, _, body = opened.partition(b"\n")
    about = json.loads(head)
    return Response(body, about["status"], dict(REPLAYED), about["media"])


async def _quietly(database: Database, mine: Reservation, sql: str, *values: object) -> bool:
    """Change the reservation's row; what can't be changed now is settled by its time."""
    mine.open = False
    try:
        async with database.tenant(mine.user_id) as conn:
            await driver(conn).execute(sql, mine.user_id, mine.key, mine.attempt, *values)
    except DATABASE_FAILURES as error:
        log.warning("a reservation is left to its time: %s", type(error).__name__)
        return False
    return True

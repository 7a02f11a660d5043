"""The audit log of an account: what was done to its keys, connections and sessions, what left it, what was forgotten.

An entry is written in the transaction of what it tells, so that neither exists without the other. It names things by
their ids and never holds a memory's text. Entries are only added; they go with the account.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from hosted.db.engine import DATABASE_FAILURES, Database, Driver, driver
from hosted.edge.context import current
from jmem.core.errors import Invalid
from jmem.core.paging import decode_cursor, encode_cursor
from jmem.core.wire.answers import Reply

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


SORT = "-at"
MAX_TARGET = 200
_NOTE = (
    "INSERT INTO jmem.audit (user_id, what, client, via, target, address, request, detail)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8::json)"
)
_LIST = (
    "SELECT id, at, what, client, via, target, address, request, detail::text AS detail FROM jmem.audit"
    " WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3)) ORDER BY at DESC, id DESC LIMIT $4"
)
log = logging.getLogger(__name__)


class AuditEntry(Reply):
    """What was done to the account. `client` did it, proven by `via`; `target` is the id of what it was done to."""

    id: str
    at: str
    what: str
    client: str | None
    via: str | None
    target: str | None
    address: str | None
    request: str | None
    detail: dict[str, Any]


async def note(
    conn: AsyncConnection, user_id: UUID, what: str, *, target: str | None = None, client: str | None = None, **detail: Any
) -> None:  # fmt: skip
    """Add an entry in the tenant's transaction; who did it is told by the request that is being answered."""
    await note_raw(driver(conn), user_id, what, target=target, client=client, **detail)


async def note_raw(
    raw: Driver, user_id: UUID, what: str, *, target: str | None = None, client: str | None = None, **detail: Any
) -> None:
    """As `note`, on the driver's own connection."""
    asking = current.get()
    principal = asking.principal if asking is not None else None
    if principal is not None and principal.user_id != user_id:
        principal = None  # what the system does for another account while it answers this one
    if principal is not None:
        client = principal.actor.client
    await raw.execute(
        _NOTE, user_id, what, client, None if principal is None else principal.via,
        None if target is None else target[:MAX_TARGET], None if asking is None else asking.address,
        None if asking is None else asking.id, json.dumps(detail),
    )  # fmt: skip


async def page(raw: Driver, user_id: UUID, limit: int, cursor: str | None) -> tuple[Sequence[AuditEntry], str | None]:
    """Entries, newest first, and where the next page begins; raises Invalid `bad_cursor`."""
    at, id = (None, None) if cursor is None else _place(cursor)
    records = await raw.fetch(_LIST, user_id, at, id, limit + 1)
    entries = [_entry(record) for record in records[:limit]]
    if len(records) <= limit:
        return entries, None
    return entries, encode_cursor(SORT, records[limit - 1]["at"].isoformat(), entries[-1].id)


async def refused(user_id: UUID, code: str) -> None:
    """Somebody proved to be nobody with a key or token of this account; an entry is written once they insist."""
    asking = current.get()
    if asking is None or asking.rates is None or asking.state is None:
        return
    if await asking.rates.insists(str(user_id)):
        database: Database = asking.state.backend.database
        try:
            async with database.tenant(user_id) as conn:
                await note(conn, user_id, "auth.refused", code=code)
        except DATABASE_FAILURES as error:
            log.warning("a burst of refusals is not in the audit log: %s", type(error).__name__)


def _place(cursor: str) -> tuple[datetime, UUID]:
    at, id = decode_cursor(cursor, SORT, 2)
    try:
        moment = datetime.fromisoformat(str(at))
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC), UUID(str(id))
    except (ValueError, OverflowError):
        raise Invalid("the cursor is not one of this list", code="bad_cursor", field="cursor",
                      fix="start without a cursor") from None  # fmt: skip


def _entry(record: asyncpg.Record) -> AuditEntry:
    told = {**record, "id": str(record["id"]), "at": record["at"].isoformat(), "detail": json.loads(record["detail"])}
    return AuditEntry(**told)

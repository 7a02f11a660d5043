"""Programs that a person let in by OAuth, and sessions that were ended here; all in a tenant's transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.db.notices import wake
from hosted.identity import audit
from hosted.identity.keys import checked, checked_name, named
from hosted.identity.lookup import Rights
from hosted.identity.tables import device_codes, grants, sign_outs
from jmem.core.errors import Invalid, NotFound

EVERY_SESSION = "*"
KEPT = timedelta(days=8)
"""How long a sign-out is remembered: no project lets a token live longer than a week."""
MAX_CLIENT_ID = 128


@dataclass(frozen=True, slots=True)
class Grant:
    """A program that was let in. `client_id` is its id at Supabase, `rights.client` its name in histories."""

    client_id: str
    name: str
    rights: Rights
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    def public(self) -> dict[str, Any]:
        """The shape of the API."""
        moments = {"created_at": self.created_at, "last_used_at": self.last_used_at, "revoked_at": self.revoked_at}
        return {
            "id": self.client_id, "kind": "oauth", "name": self.name, **self.rights.public(),
            **{name: at and at.isoformat() for name, at in moments.items()},
        }  # fmt: skip


async def allow(conn: AsyncConnection, user_id: UUID, client_id: str, name: str, rights: Rights) -> Grant:
    """Let a program in, or in again, with these rights; raises Invalid."""
    rights = named(rights)
    if not 0 < len(client_id) <= MAX_CLIENT_ID or not client_id.isprintable():
        raise Invalid("the program's id is not one", field="client_id")
    values = {
        "client": rights.client, "name": checked_name(name or rights.client), "revoked_at": None, **rights.columns(),
    }  # fmt: skip
    added = insert(grants).values(user_id=user_id, client_id=client_id, **values)
    row = await conn.execute(added.on_conflict_do_update(index_elements=["user_id", "client_id"], set_=values)
                             .returning(grants))  # fmt: skip
    await audit.note(conn, user_id, "program.allowed", target=client_id, name=values["name"], of=rights.client)
    return _grant(row.mappings().one())


async def listed(conn: AsyncConnection, user_id: UUID, *, revoked: bool = False) -> list[Grant]:
    """The programs that are let in, newest first; with `revoked` also those that were shut out."""
    asked = select(grants).where(grants.c.user_id == user_id).order_by(grants.c.created_at.desc(), grants.c.client_id)
    rows = await conn.execute(asked if revoked else asked.where(grants.c.revoked_at.is_(None)))
    return [_grant(row) for row in rows.mappings()]


async def get(conn: AsyncConnection, user_id: UUID, client_id: str) -> Grant:
    """One program, also one that was shut out; raises NotFound `unknown_program`."""
    row = await conn.execute(select(grants).where(grants.c.user_id == user_id, grants.c.client_id == client_id))
    return _found(row.mappings().first(), client_id)


async def change(
    conn: AsyncConnection, user_id: UUID, client_id: str, rights: Rights | None = None, *, name: str | None = None
) -> Grant:
    """Other rights or another name, from the next request on; raises NotFound, Invalid."""
    known = await get(conn, user_id, client_id)
    wanted = checked(replace(rights or known.rights, client=known.rights.client))
    values = {"name": known.name if name is None else checked_name(name), **wanted.columns()}
    changed = update(grants).where(grants.c.user_id == user_id, grants.c.client_id == client_id).values(values)
    found = _found((await conn.execute(changed.returning(grants))).mappings().first(), client_id)
    await wake(conn, user_id)
    await audit.note(conn, user_id, "program.changed", target=client_id, fields=sorted(values))
    return found


async def revoke(conn: AsyncConnection, user_id: UUID, client_id: str) -> Grant:
    """Shut a program out from the next request on; raises NotFound `unknown_program`."""
    changed = update(grants).where(grants.c.user_id == user_id, grants.c.client_id == client_id)
    row = await conn.execute(
        changed.values(revoked_at=func.coalesce(grants.c.revoked_at, func.now())).returning(grants)
    )
    found = _found(row.mappings().first(), client_id)
    await wake(conn, user_id)
    await audit.note(conn, user_id, "program.revoked", target=client_id)
    return found


async def sign_out(
    conn: AsyncConnection, user_id: UUID, session_id: str = EVERY_SESSION, *, for_ever: bool = False
) -> None:  # fmt: skip
    """Refuse the tokens of a session from now on, and note it; by default of every session that began before this second's
    end, with every machine that is being connected.

    `for_ever`: also tokens that the session is given later, as one may be that lives on at Supabase.
    """
    await refuse_tokens(conn, user_id, session_id, for_ever=for_ever)
    await audit.note(conn, user_id, "session.ended", every=session_id == EVERY_SESSION)


async def refuse_tokens(
    conn: AsyncConnection, user_id: UUID, session_id: str = EVERY_SESSION, *, for_ever: bool = False
) -> None:  # fmt: skip
    """As `sign_out`, without a note of it."""
    old = (sign_outs.c.user_id == user_id) & (sign_outs.c.at < func.now() - KEPT)
    await conn.execute(delete(sign_outs).where(old))
    at = text("'infinity'::timestamptz") if for_ever else func.now()
    added = insert(sign_outs).values(user_id=user_id, session_id=session_id[:128], at=at)
    later = func.greatest(sign_outs.c.at, added.excluded.at)
    again = added.on_conflict_do_update(index_elements=["user_id", "session_id"], set_={"at": later})
    await conn.execute(again)
    await wake(conn, user_id)
    if session_id == EVERY_SESSION:
        await conn.execute(delete(device_codes).where(device_codes.c.user_id == user_id))


def _found(row: RowMapping | None, client_id: str) -> Grant:
    if row is None:
        raise NotFound("no such program was let in", code="unknown_program", id=client_id)
    return _grant(row)


def _grant(row: RowMapping) -> Grant:
    return Grant(
        row["client_id"], row["name"], Rights.of(row), row["created_at"], row["last_used_at"], row["revoked_at"]
    )

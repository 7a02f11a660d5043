"""API keys and connector keys of one user: made, listed, changed, rotated, revoked.

Every function works in a tenant's transaction, so that row-level security stands behind the filter in each query.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.db.notices import wake
from hosted.identity import audit, secret
from hosted.identity.lookup import Rights
from hosted.identity.principal import SESSION_CLIENT
from hosted.identity.secret import Kind
from hosted.identity.tables import api_keys
from jmem.core.errors import Conflict, Invalid, NotFound
from jmem.core.model import check_client, check_tags

MAX_KEYS = 100
"""Live keys of one user."""
MAX_NAME = 100
MAX_WRITES_PER_HOUR = 1_000_000
OVERLAP = timedelta(hours=24)
"""How long a rotated key serves on, so that its user can be changed over without a gap."""
MAX_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as lists show it; its text is known to nobody but its holder."""

    id: UUID
    kind: Kind
    name: str
    rights: Rights
    hint: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: UUID | None

    def public(self) -> dict[str, Any]:
        """The shape of the API."""
        moments = {"created_at": self.created_at, "last_used_at": self.last_used_at, "expires_at": self.expires_at,
                   "revoked_at": self.revoked_at}  # fmt: skip
        return {
            "id": str(self.id), "kind": self.kind, "name": self.name, "hint": self.hint, **self.rights.public(),
            **{name: at and at.isoformat() for name, at in moments.items()},
            "replaces": self.replaces and str(self.replaces),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A new key and its text, which is shown this once."""

    key: Key
    text: str


async def create(
    conn: AsyncConnection, user_id: UUID, kind: Kind, rights: Rights, *, name: str = "", lifetime: timedelta | None = None,
    replaces: UUID | None = None, until: datetime | None = None,
) -> Made:  # fmt: skip
    """A new key, for a `lifetime` or `until` a moment; raises Invalid, and Conflict `too_many_keys` at the limit."""
    rights = checked(rights) if replaces else named(rights)
    name = checked_name(name or rights.client)
    if lifetime is not None and lifetime <= timedelta(0):
        raise Invalid("a key's lifetime must be longer than nothing", field="expires_at")
    # keys are counted under a lock of the user's own, or two requests at once would both be the last
    await conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('jmem.api_keys ' || :user, 0))"),
                       {"user": str(user_id)})  # fmt: skip
    live = select(func.count()).where(api_keys.c.user_id == user_id, _live())
    if (await conn.execute(live)).scalar_one() >= MAX_KEYS:
        raise Conflict(
            f"there are {MAX_KEYS} keys already", code="too_many_keys", fix="revoke keys that are not in use"
        )
    made = secret.make(kind)
    values = {
        "user_id": user_id, "id": uuid.uuid4(), "kind": kind, "name": name, "client": rights.client,
        "digest": secret.digest(made), "hint": secret.hint(made), **rights.columns(), "replaces": replaces,
        "expires_at": until if lifetime is None else func.now() + lifetime,
    }  # fmt: skip
    key = _key((await conn.execute(api_keys.insert().values(values).returning(api_keys))).mappings().one())
    if replaces is None:
        await _note(conn, user_id, key, "made", name=key.name, of=rights.client)
    else:
        await _note(conn, user_id, key, "rotated", replaces=str(replaces))
    return Made(key, made)


async def listed(conn: AsyncConnection, user_id: UUID, *, revoked: bool = False) -> list[Key]:
    """The user's keys, newest first; with `revoked` also those that serve no more."""
    asked = select(api_keys).where(api_keys.c.user_id == user_id).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
    rows = (await conn.execute(asked if revoked else asked.where(_live()))).mappings()
    return [_key(row) for row in rows]


async def get(conn: AsyncConnection, user_id: UUID, key_id: UUID) -> Key:
    """One key, also a revoked one; raises NotFound `unknown_key`."""
    asked = select(api_keys).where(api_keys.c.user_id == user_id, api_keys.c.id == key_id)
    row = (await conn.execute(asked)).mappings().first()
    if row is None:
        raise _unknown(key_id)
    return _key(row)


async def change(
    conn: AsyncConnection, user_id: UUID, key_id: UUID, rights: Rights | None = None, *, name: str | None = None
) -> Key:
    """Other rights or another name, from the next request on; the client stays. Raises NotFound, Invalid."""
    values: dict[str, Any] = {}
    if rights is not None:
        known = await get(conn, user_id, key_id)
        rights = checked(replace(rights, client=known.rights.client))
        values |= rights.columns()
    if name is not None:
        values["name"] = checked_name(name)
    if not values:
        return await get(conn, user_id, key_id)
    changed = await _update(conn, user_id, key_id, **values)
    await _note(conn, user_id, changed, "changed", fields=sorted(values))
    return changed


async def revoke(conn: AsyncConnection, user_id: UUID, key_id: UUID) -> Key:
    """Make the key worthless from the next request on; again changes nothing. Raises NotFound `unknown_key`."""
    revoked = await _update(conn, user_id, key_id, revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
    await _note(conn, user_id, revoked, "revoked")
    return revoked


async def rotate(conn: AsyncConnection, user_id: UUID, key_id: UUID, overlap: timedelta = OVERLAP) -> Made:
    """A new key with the same rights and the same end; the old one serves for `overlap` more.

    Raises NotFound, Invalid, Conflict, which is `key_revoked` for one that serves no more.
    """
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid(f"the overlap is at most {MAX_OVERLAP.days} days", field="overlap")
    mine = (api_keys.c.user_id == user_id) & (api_keys.c.id == key_id)
    live = (await conn.execute(select(_live()).where(mine).with_for_update())).scalar_one_or_none()
    old = await get(conn, user_id, key_id)
    if not live:
        raise Conflict("a key that serves no more can't be rotated", code="key_revoked", fix="make a new key")
    end = await _end(conn, user_id, old)
    until = func.least(func.coalesce(api_keys.c.expires_at, text("'infinity'")), func.now() + overlap)
    await _update(conn, user_id, key_id, expires_at=until)
    return await create(conn, user_id, old.kind, old.rights, name=old.name, replaces=old.id, until=end)


async def _end(conn: AsyncConnection, user_id: UUID, key: Key) -> datetime | None:
    """When a key was to end before it was rotated: the last that took its place has that end, any before it an overlap's."""
    id, end = key.id, key.expires_at
    while True:
        later = select(api_keys.c.id, api_keys.c.expires_at).where(
            api_keys.c.user_id == user_id, api_keys.c.replaces == id
        )
        found = (await conn.execute(later.order_by(api_keys.c.created_at).limit(1))).first()
        if found is None:
            return end
        id, end = found


def checked(rights: Rights) -> Rights:
    """The rights with a proper client and tags; raises Invalid."""
    tags = None if rights.tags is None else tuple(check_tags(list(rights.tags)))
    if not (rights.read or rights.write or rights.delete):
        raise Invalid("a key that may do nothing is of no use", field="read")
    if rights.writes_per_hour is not None and not 1 <= rights.writes_per_hour <= MAX_WRITES_PER_HOUR:
        raise Invalid(f"writes_per_hour is 1 to {MAX_WRITES_PER_HOUR:,}, or null", field="writes_per_hour")
    return replace(rights, client=check_client(rights.client), tags=tags)


def named(rights: Rights) -> Rights:
    """As `checked`, for a program that is new; raises Invalid also for the name by which histories know the person's own pages."""
    if rights.client == SESSION_CLIENT:
        raise Invalid(
            f"{SESSION_CLIENT} is what the web page itself is called", field="client", fix="take another name"
        )
    return checked(rights)


def checked_name(name: str) -> str:
    """The name without space around it; raises Invalid when it is empty, too long or no plain text."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise Invalid(f"a name is 1 to {MAX_NAME} printable characters", field="name")
    return name


def _live() -> Any:
    unexpired = api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > func.now())
    return api_keys.c.revoked_at.is_(None) & unexpired


async def _update(conn: AsyncConnection, user_id: UUID, key_id: UUID, **values: Any) -> Key:
    changed = update(api_keys).where(api_keys.c.user_id == user_id, api_keys.c.id == key_id).values(values)
    row = (await conn.execute(changed.returning(api_keys))).mappings().first()
    if row is None:
        raise _unknown(key_id)
    await wake(conn, user_id)  # a stream that the key opened may have to end
    return _key(row)


async def _note(conn: AsyncConnection, user_id: UUID, key: Key, done: str, **detail: Any) -> None:
    what = "key" if key.kind == "api" else "connection"
    await audit.note(conn, user_id, f"{what}.{done}", target=str(key.id), **detail)


def _unknown(key_id: UUID) -> NotFound:
    return NotFound("there is no such key", code="unknown_key", id=str(key_id))


def _key(row: RowMapping) -> Key:
    return Key(
        row["id"], row["kind"], row["name"], Rights.of(row), row["hint"], row["created_at"], row["last_used_at"],
        row["expires_at"], row["revoked_at"], row["replaces"],
    )  # fmt: skip

"""The programs of an account by name, whatever lets each in: API keys, personal URLs, OAuth. In a tenant's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.identity import grants, keys
from hosted.identity.grants import Grant
from hosted.identity.keys import Key


async def listed(conn: AsyncConnection, user_id: UUID) -> list[dict[str, Any]]:
    """Every program that was ever let in, by name, in the shape of the daemon's GET /clients.

    What one may is what any of its keys, URLs and consents lets it do; of one that is `revoked`, what the last one did.
    `generation` counts them, `connected_at` is the time of the newest.
    """
    found: dict[str, list[Key | Grant]] = {}
    ways: list[Key | Grant] = [
        *await keys.listed(conn, user_id, revoked=True),
        *await grants.listed(conn, user_id, revoked=True),
    ]
    for way in sorted(ways, key=lambda way: way.created_at, reverse=True):
        found.setdefault(way.rights.client, []).append(way)
    return [_shown(name, found[name]) for name in sorted(found)]


def _shown(name: str, ways: Sequence[Key | Grant]) -> dict[str, Any]:
    """`ways` are the newest first."""
    now = datetime.now(UTC)
    live = [way for way in ways if way.revoked_at is None and not (isinstance(way, Key) and _over(way, now))]
    rights = [way.rights for way in live or ways[:1]]
    seen = max((way.last_used_at for way in ways if way.last_used_at is not None), default=None)
    tags = (
        None if any(one.tags is None for one in rights) else sorted({tag for one in rights for tag in one.tags or ()})
    )
    caps = [one.writes_per_hour for one in rights]
    return {
        "name": name, "read": any(one.read for one in rights), "write": any(one.write for one in rights),
        "delete": any(one.delete for one in rights), "tags": tags, "review": all(one.review for one in rights),
        "writes_per_hour": None if None in caps else max(cap for cap in caps if cap is not None),
        "generation": len(ways), "connected_at": ways[0].created_at.isoformat(),
        "last_seen": seen and seen.isoformat(), "revoked": not live,
    }  # fmt: skip


def _over(key: Key, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now

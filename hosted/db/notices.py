"""What replicas tell each other through Postgres of a tenant, by `NOTIFY`: that there may be something to look at."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CHANNEL = "jmem_ops"
"""Its payloads are words `<tenant, hex>:<seq>`; seq 0 says nothing of the feed."""
_WAKE = text("SELECT pg_notify(:channel, :payload)")


async def wake(conn: AsyncConnection, user_id: UUID) -> None:
    """Have every stream of the tenant look whether it may go on, once this transaction is committed.

    A NOTIFY within a transaction lines commits up behind each other: for what people do seldom, not for writes.
    """
    await conn.execute(_WAKE, {"channel": CHANNEL, "payload": f"{user_id.hex}:0"})

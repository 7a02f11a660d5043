"""Who holds a key or a session, asked before any tenant is known: two SECURITY DEFINER functions, one round trip each.

Nothing is kept between requests: what was revoked is refused from the next request on, on every replica.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from hosted.db.errors import AccountDeleted
from hosted.identity.jwt import Claims

_KEY = text("SELECT * FROM jmem.key_holder(:digest)")
_TENANT = text("SELECT set_config('app.user_id', :user_id, true)")
_FOR_EVER = text(
    "SELECT EXISTS (SELECT FROM jmem.sign_outs WHERE user_id = :user_id AND session_id = :session_id AND at = 'infinity')"
)
_SESSION = text("SELECT * FROM jmem.session_holder(:user_id, :session_id, :client_id, :issued_at)")


@dataclass(frozen=True, slots=True)
class Rights:
    """What the holder of a key, or a program that was let in, may do. `tags` None: every memory.

    With `review`, what it writes waits until the owner accepts it; `writes_per_hour` caps its changes, None: no cap.
    """

    client: str
    read: bool = True
    write: bool = True
    delete: bool = True
    tags: tuple[str, ...] | None = None
    review: bool = False
    writes_per_hour: int | None = None

    @staticmethod
    def of(row: RowMapping) -> Rights:
        """The rights in a row of keys or grants."""
        tags = None if row["tags"] is None else tuple(row["tags"])
        return Rights(
            row["client"],
            row["can_read"],
            row["can_write"],
            row["can_delete"],
            tags,
            row["review"],
            row["writes_per_hour"],
        )

    def columns(self) -> dict[str, Any]:
        """The columns of such a row, without the client, which never changes."""
        return {
            "can_read": self.read, "can_write": self.write, "can_delete": self.delete,
            "tags": None if self.tags is None else list(self.tags), "review": self.review,
            "writes_per_hour": self.writes_per_hour,
        }  # fmt: skip

    def public(self) -> dict[str, Any]:
        """The shape of the API."""
        return {
            "client": self.client, "read": self.read, "write": self.write, "delete": self.delete,
            "tags": None if self.tags is None else list(self.tags), "review": self.review,
            "writes_per_hour": self.writes_per_hour,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key it is. `valid` is false once it is revoked or out of time."""

    user_id: UUID
    id: UUID
    kind: str
    rights: Rights
    valid: bool


@dataclass(frozen=True, slots=True)
class SessionHolder:
    """What is known of a session beyond its token. `rights` None: no program, or one that was never let in."""

    deleted: bool
    signed_out: bool
    rights: Rights | None


class Lookup:
    """Asks on the application's pool, each time in a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._transactions = engine.execution_options(isolation_level="READ COMMITTED")

    async def key(self, digest: bytes) -> KeyHolder | None:
        """Whose key has this digest; raises AccountDeleted, also when nothing else is left of the account."""
        row = await self._one(_KEY, digest=digest)
        if row is None:
            return None
        if row["deleted"]:
            raise AccountDeleted()
        return KeyHolder(row["user_id"], row["id"], row["kind"], Rights.of(row), row["valid"])

    async def session(self, claims: Claims) -> SessionHolder:
        """Whether the account lives, whether the session was ended here, and what its program may do."""
        row = await self._one(
            _SESSION, user_id=claims.user_id, session_id=claims.session_id, client_id=claims.client_id,
            issued_at=datetime.fromtimestamp(claims.issued_at, UTC),
        )  # fmt: skip
        assert row is not None  # the function always answers with one row
        return SessionHolder(row["deleted"], row["signed_out"], None if row["client"] is None else Rights.of(row))

    async def revoked(self, claims: Claims) -> bool:
        """Whether a session that was signed out is that of a machine which the person shut out."""
        async with self._transactions.begin() as connection:
            await connection.execute(_TENANT, {"user_id": str(claims.user_id)})
            asked = {"user_id": claims.user_id, "session_id": claims.session_id}
            return bool((await connection.execute(_FOR_EVER, asked)).scalar_one())

    async def _one(self, asked: Any, **values: Any) -> RowMapping | None:
        for last in (False, True):
            try:
                async with self._engine.connect() as connection:
                    return (await connection.execute(asked, values)).mappings().first()
            except DBAPIError as error:  # a connection that the server closed meanwhile; to ask twice changes nothing
                if last or not error.connection_invalidated:
                    raise
        raise AssertionError("unreachable")

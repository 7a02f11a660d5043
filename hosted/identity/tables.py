"""The tables of identity, as queries name them; `hosted/db/migrations` makes them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from hosted.db.tables import metadata

_C = Text(collation="C")


def _rights() -> list[Column[object]]:
    moment = DateTime(timezone=True)
    return [
        Column("can_read", Boolean, nullable=False),
        Column("can_write", Boolean, nullable=False),
        Column("can_delete", Boolean, nullable=False),
        Column("tags", ARRAY(Text)),
        Column("created_at", moment, nullable=False, server_default=text("now()")),
        Column("last_used_at", moment),
        Column("revoked_at", moment),
        Column("review", Boolean, nullable=False, server_default=text("false")),
        Column("writes_per_hour", Integer),
    ]


api_keys = Table(
    "api_keys",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", _C, nullable=False),
    Column("name", _C, nullable=False),
    Column("client", _C, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("hint", _C, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("replaces", Uuid),
    *_rights(),
    UniqueConstraint("digest", name="api_keys_digest"),
)
"""API keys and the keys in personal MCP URLs; only their digests."""

grants = Table(
    "grants",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("client_id", _C, primary_key=True),
    Column("client", _C, nullable=False),
    Column("name", _C, nullable=False),
    *_rights(),
)
"""Programs that the user let in by OAuth; the token of any other program is refused."""

sign_outs = Table(
    "sign_outs",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("session_id", _C, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
"""Sessions ended through this backend, whose tokens may still be in time; `*`: all that began before `at`."""

deletions = Table(
    "deletions",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("step", _C, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("problem", _C),
)
"""Accounts whose deletion is under way."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("user_hash", LargeBinary, primary_key=True),
    Column("deleted_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
"""What is left of a deleted account: the SHA-256 of its id and of the digest of each of its keys, so that an old token or
key gets 410."""

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("refresh_until", DateTime(timezone=True)),
    Column("agent", _C, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("used_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    UniqueConstraint("digest", name="web_sessions_digest"),
)
"""The page's sessions. `sealed` are the tokens, which only the browser's cookie opens."""

devices = Table(
    "devices",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("device", _C, primary_key=True),
    Column("name", Text, nullable=False, server_default=text("''")),
    Column("platform", _C, nullable=False, server_default=text("''")),
    Column("via", _C, nullable=False),
    Column("proof", _C, nullable=False),
    Column("first_seen", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("last_seen", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("pulled_seq", BigInteger),
    Column("pushed_seq", BigInteger),
    Column("revoked_at", DateTime(timezone=True)),
)
"""Machines that sync. `proof` is the id of the session or key that the machine used last."""

device_codes = Table(
    "device_codes",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("challenge", _C, nullable=False),
    Column("name", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
"""Codes that a browser takes to the machine it runs on; only their digests."""

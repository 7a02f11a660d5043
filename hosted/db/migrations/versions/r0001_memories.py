"""The feed and the memories of every tenant."""

from __future__ import annotations

from alembic import op

from hosted.db.security import make_roles, protect

revision = "0001"
down_revision = None

_C = 'text COLLATE "C"'
_LIVE = "WHERE content IS NOT NULL AND NOT deleted"
_TABLES = (
    f"""CREATE TABLE jmem.sync_heads (
        user_id uuid PRIMARY KEY,
        seq bigint NOT NULL DEFAULT 0,
        chain {_C} NOT NULL DEFAULT '',
        last_stamp {_C} NOT NULL DEFAULT '',
        action bigint NOT NULL DEFAULT 0
    )""",
    f"""CREATE TABLE jmem.ops (
        user_id uuid NOT NULL,
        stamp {_C} NOT NULL,
        seq bigint NOT NULL,
        chain {_C} NOT NULL,
        device {_C},
        memory_id {_C} NOT NULL,
        action bigint NOT NULL,
        payload {_C} NOT NULL,
        digest {_C} NOT NULL,
        PRIMARY KEY (user_id, stamp),
        CONSTRAINT ops_seq UNIQUE (user_id, seq)
    )""",
    "CREATE INDEX ops_memory ON jmem.ops (user_id, memory_id)",
    f"""CREATE TABLE jmem.refused (
        user_id uuid NOT NULL,
        stamp {_C} NOT NULL,
        PRIMARY KEY (user_id, stamp)
    )""",
    f"""CREATE TABLE jmem.actions (
        user_id uuid NOT NULL,
        id bigint NOT NULL,
        at {_C} NOT NULL,
        client {_C} NOT NULL,
        kind {_C} NOT NULL,
        undoes bigint,
        undone_by bigint,
        first_seq bigint NOT NULL,
        last_seq bigint NOT NULL,
        PRIMARY KEY (user_id, id)
    )""",
    f"""CREATE TABLE jmem.memories (
        user_id uuid NOT NULL,
        id {_C} NOT NULL,
        id_reversed {_C} NOT NULL,
        content {_C},
        tags text[] NOT NULL,
        metadata json NOT NULL,
        state {_C} NOT NULL,
        deleted boolean NOT NULL,
        occurred_at {_C},
        expires_at {_C},
        privacy {_C} NOT NULL,
        source {_C},
        thread {_C},
        speaker {_C},
        client {_C} NOT NULL,
        supersedes {_C},
        created_at {_C} NOT NULL,
        updated_at {_C} NOT NULL,
        version {_C} NOT NULL,
        at {_C} NOT NULL,
        stamps json NOT NULL,
        extra json NOT NULL,
        seq bigint NOT NULL,
        text_key bytea NOT NULL,
        purged boolean NOT NULL,
        PRIMARY KEY (user_id, id),
        CONSTRAINT memories_purged CHECK (NOT purged OR content IS NULL)
    )""",
    "CREATE INDEX memories_id_reversed ON jmem.memories (user_id, id_reversed)",
    f"CREATE INDEX memories_created ON jmem.memories (user_id, created_at, id) {_LIVE}",
    f"CREATE INDEX memories_updated ON jmem.memories (user_id, updated_at, id) {_LIVE}",
    f"CREATE INDEX memories_at ON jmem.memories (user_id, at, id) {_LIVE}",
    "CREATE INDEX memories_text_key ON jmem.memories (user_id, text_key)",
    "CREATE INDEX memories_thread ON jmem.memories (user_id, thread, at, id) WHERE thread IS NOT NULL",
    "CREATE INDEX memories_supersedes ON jmem.memories (user_id, supersedes) WHERE supersedes IS NOT NULL",
    f"""CREATE TABLE jmem.index_state (
        user_id uuid NOT NULL,
        id {_C} NOT NULL,
        content_stamp {_C} NOT NULL,
        model {_C} NOT NULL,
        PRIMARY KEY (user_id, id)
    )""",
)
_NAMES = ("sync_heads", "ops", "refused", "actions", "memories", "index_state")
_COUNTED = {
    "sync_heads": ("user_id", "seq", "last_stamp"),
    "memories": ("user_id", "client", "state", "deleted", "purged", "created_at"),
}


def upgrade() -> None:
    for sql in (*make_roles(), *_TABLES):
        op.execute(sql)
    for name in _NAMES:
        rights = "SELECT, INSERT, UPDATE, DELETE" if name == "index_state" else "SELECT, INSERT, UPDATE"
        for sql in protect(name, app=rights, metrics=_COUNTED.get(name, ())):
            op.execute(sql)


def downgrade() -> None:
    for name in reversed(_NAMES):
        op.execute(f"DROP TABLE jmem.{name}")
    op.execute("REVOKE USAGE ON SCHEMA jmem FROM jmem_app, jmem_deletion, jmem_metrics")

"""The tables of `memories.db`, as a numbered, append-only list of migrations.

`ops` is the truth; `memories`, `memory_tags` and `memory_fts` are what the ops add up to and can be rebuilt
from them. A migration that has been released is never edited: a change is a new entry at the end.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Migration:
    """One step to the next schema version; `changes_data` asks for a backup before it."""

    sql: tuple[str, ...]
    changes_data: bool = False


_V1 = Migration(
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE actions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at TEXT NOT NULL,
            client TEXT NOT NULL,
            kind TEXT NOT NULL,
            undoes INTEGER,
            undone_by INTEGER
        )""",
        """CREATE TABLE ops (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            stamp TEXT NOT NULL UNIQUE,
            memory_id TEXT NOT NULL,
            payload TEXT NOT NULL,
            digest TEXT NOT NULL,
            action INTEGER NOT NULL,
            sent INTEGER NOT NULL DEFAULT 0
        )""",
        "CREATE INDEX ops_memory ON ops (memory_id)",
        "CREATE INDEX ops_action ON ops (action)",
        """CREATE TABLE memories (
            rowid INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            id_reversed TEXT NOT NULL,
            content TEXT NOT NULL,
            tags TEXT NOT NULL,
            metadata TEXT NOT NULL,
            state TEXT NOT NULL,
            deleted INTEGER NOT NULL,
            occurred_at TEXT,
            expires_at TEXT,
            privacy TEXT NOT NULL,
            source TEXT,
            thread TEXT,
            speaker TEXT,
            client TEXT NOT NULL,
            supersedes TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            version TEXT NOT NULL,
            at TEXT NOT NULL,
            stamps TEXT NOT NULL,
            extra TEXT NOT NULL,
            seq INTEGER NOT NULL,
            text_key BLOB NOT NULL
        )""",
        "CREATE INDEX memories_id_reversed ON memories (id_reversed)",
        "CREATE INDEX memories_seq ON memories (seq)",
        "CREATE INDEX memories_text_key ON memories (text_key)",
        "CREATE INDEX memories_created ON memories (created_at, id, state, expires_at) WHERE deleted = 0",
        "CREATE INDEX memories_updated ON memories (updated_at, id) WHERE deleted = 0",
        "CREATE INDEX memories_at ON memories (at, id) WHERE deleted = 0",
        "CREATE INDEX memories_client ON memories (client, created_at, id) WHERE deleted = 0",
        "CREATE INDEX memories_deleted ON memories (updated_at, id) WHERE deleted = 1",
        "CREATE INDEX memories_local ON memories (created_at, id) WHERE privacy = 'local'",
        "CREATE INDEX memories_thread ON memories (thread, state, deleted, at, id) WHERE thread IS NOT NULL",
        "CREATE INDEX memories_source ON memories (source, created_at, id) WHERE source IS NOT NULL",
        "CREATE INDEX memories_supersedes ON memories (supersedes) WHERE supersedes IS NOT NULL",
        """CREATE TABLE memory_tags (
            rowid INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (rowid, tag)
        ) WITHOUT ROWID""",
        "CREATE INDEX memory_tags_tag ON memory_tags (tag, rowid)",
        "CREATE VIRTUAL TABLE memory_fts USING fts5 (text, context, tokenize = 'porter unicode61')",
        "CREATE TABLE purged (id TEXT PRIMARY KEY, at TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID",
    )
)

MIGRATIONS: tuple[Migration, ...] = (_V1,)
"""MIGRATIONS[n] leads from version n to n + 1."""

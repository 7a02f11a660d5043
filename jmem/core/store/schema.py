"""The tables of `memories.db`, as a numbered, append-only list of migrations.

`ops` is the truth; `memories`, `memory_tags` and `memory_fts` are what the ops add up to and can be rebuilt
from them. Indexes are few, since every
page that a write touches is written and synced before the answer. A migration that has been released is never edited: a change is a new entry at the end.
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
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            client TEXT NOT NULL,
            kind TEXT NOT NULL,
            undoes INTEGER,
            undone_by INTEGER
        )""",
        """CREATE TABLE ops (
            seq INTEGER PRIMARY KEY,
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
        # holds all that counts by client, state and day ask for
        "CREATE INDEX memories_created ON memories (created_at, id, client, state, expires_at, deleted) WHERE deleted = 0",
        "CREATE INDEX memories_updated ON memories (updated_at, id) WHERE deleted = 0",
        "CREATE INDEX memories_at ON memories (at, id) WHERE deleted = 0",
        "CREATE INDEX memories_deleted ON memories (updated_at, id) WHERE deleted = 1",
        "CREATE INDEX memories_local ON memories (created_at, id) WHERE privacy = 'local'",
        "CREATE INDEX memories_thread ON memories (thread, state, deleted, at, id) WHERE thread IS NOT NULL",
        "CREATE INDEX memories_source ON memories (source, created_at, id) WHERE source IS NOT NULL",
        "CREATE INDEX memories_supersedes ON memories (supersedes) WHERE supersedes IS NOT NULL",
        """CREATE TABLE memory_tags (
            tag TEXT NOT NULL, rowid INTEGER NOT NULL, PRIMARY KEY (tag, rowid)
        ) WITHOUT ROWID""",
        "CREATE VIRTUAL TABLE memory_fts USING fts5 (text, context, tokenize = 'porter unicode61')",
        # merging of segments is done after the answer has gone out (fts.tend), not inside the write
        "INSERT INTO memory_fts (memory_fts, rank) VALUES ('automerge', 0)",
        "INSERT INTO memory_fts (memory_fts, rank) VALUES ('crisismerge', 64)",
        # reached: every place outside these tables has forgotten it too
        """CREATE TABLE purged (
            id TEXT PRIMARY KEY, at TEXT NOT NULL, seq INTEGER NOT NULL, reached INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        "CREATE INDEX purged_due ON purged (id) WHERE reached = 0",
    )
)

_V2 = Migration(
    (
        # ops.sent is told apart by oplog.Sent from here on: what is local, or was forgotten before anybody else saw it, stays
        "UPDATE ops SET sent = 2 WHERE memory_id IN (SELECT id FROM memories WHERE privacy = 'local')"
        " OR memory_id IN (SELECT id FROM purged)",
    ),
    changes_data=True,
)

_V3 = Migration(
    (
        # memories with texts that were written apart, kept by oplog.mark_conflict
        "CREATE TABLE IF NOT EXISTS conflicts (id TEXT PRIMARY KEY) WITHOUT ROWID",
        """INSERT OR IGNORE INTO conflicts
        SELECT o.memory_id FROM ops o
        WHERE json_type(o.payload, '$.set.content') IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM ops p, json_each(p.payload, '$.base') b
            WHERE p.memory_id = o.memory_id AND json_type(p.payload, '$.set.content') IS NOT NULL AND b.value = o.stamp)
        GROUP BY o.memory_id HAVING COUNT(DISTINCT json_extract(o.payload, '$.set.content')) > 1""",
    ),
)

_V4 = Migration(
    (
        # a store is bound to the id of its account alone, not to the address before it
        "UPDATE meta SET value = substr(value, instr(value, ' ') + 1) WHERE key = 'sync.account' AND instr(value, ' ') > 0",
    ),
    changes_data=True,
)

_V5 = Migration(
    (
        # what sync keeps apart (Sent.LOCAL, HELD, OFFERED): no write of a person touches it unless its memory is local
        "CREATE INDEX IF NOT EXISTS ops_kept ON ops (sent, seq) WHERE sent = 2 OR sent = 3 OR sent = 4",
    ),
)

_V6 = Migration(
    (
        # the files of this machine that a memory was imported from (jmem.core.origins)
        "CREATE TABLE IF NOT EXISTS origins (id TEXT, file TEXT, PRIMARY KEY (id, file)) WITHOUT ROWID",
    ),
)

_V7 = Migration(
    (
        # memories whose next text does not follow the one that is live alone, kept by oplog.mark_conflict
        "CREATE TABLE IF NOT EXISTS branched (id TEXT PRIMARY KEY) WITHOUT ROWID",
        """INSERT OR IGNORE INTO branched
        SELECT o.memory_id FROM ops o
        WHERE json_type(o.payload, '$.set.content') IS NOT NULL GROUP BY o.memory_id
        HAVING COUNT(*) > 1 AND (
            SUM(o.stamp NOT IN (
                SELECT b.value FROM ops p, json_each(p.payload, '$.base') b
                WHERE json_type(p.payload, '$.set.content') IS NOT NULL)) <> 1
            OR MAX(o.stamp) IN (
                SELECT b.value FROM ops p, json_each(p.payload, '$.base') b
                WHERE json_type(p.payload, '$.set.content') IS NOT NULL))""",
    ),
    changes_data=True,
)

MIGRATIONS: tuple[Migration, ...] = (_V1, _V2, _V3, _V4, _V5, _V6, _V7)
"""MIGRATIONS[n] leads from version n to n + 1."""

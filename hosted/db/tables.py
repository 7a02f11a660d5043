"""The tables, as queries name them. `hosted/db/migrations` makes them; a test compares both.

Stamps, ids and times are text in collation "C", so that they sort and compare as they do on every device. What must come
back exactly as it was written (an op, the values of unknown fields) is text or `json`, never `jsonb`, which rewrites
numbers and refuses some escapes.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, TSVECTOR

metadata = MetaData(schema="jmem")
_C = Text(collation="C")


def _key(name: str = "user_id") -> Column[object]:
    return Column(name, Uuid, primary_key=True)


def _bucket(id: str) -> Column[object]:
    """`jmem.core.tree.place` of a memory's id."""
    return Column("bucket", _C, Computed(f"left(encode(sha256({id}::bytea), 'hex'), 4)", persisted=True))


sync_heads = Table(
    "sync_heads",
    metadata,
    _key(),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("chain", _C, nullable=False, server_default=text("''")),
    Column("last_stamp", _C, nullable=False, server_default=text("''")),
    Column("action", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
"""One row a user: the end of the feed. Its lock is what makes a seq visible in order."""

ops = Table(
    "ops",
    metadata,
    _key(),
    Column("stamp", _C, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("chain", _C, nullable=False),
    Column("device", _C),
    Column("memory_id", _C, nullable=False),
    Column("action", BigInteger, nullable=False),
    Column("payload", _C, nullable=False),
    Column("digest", _C, nullable=False),
    Column("base", ARRAY(_C), Computed("jmem.base_of(payload)", persisted=True)),
    _bucket("memory_id"),
    UniqueConstraint("user_id", "seq", name="ops_seq"),
    Index("ops_memory", "user_id", "memory_id", "stamp"),
    Index("ops_bucket", "user_id", "bucket"),
)
"""Every op as its canonical text. `base` is that of an op that sets the content, null of any other."""

refused = Table("refused", metadata, _key(), Column("stamp", _C, primary_key=True))
"""Stamps that were refused once, and always will be: their device may have given the op another."""

actions = Table(
    "actions",
    metadata,
    _key(),
    Column("id", BigInteger, primary_key=True),
    Column("at", _C, nullable=False),
    Column("client", _C, nullable=False),
    Column("kind", _C, nullable=False),
    Column("undoes", BigInteger),
    Column("undone_by", BigInteger),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)
"""What one command did; its ops lie between its first and last seq."""

memories = Table(
    "memories",
    metadata,
    _key(),
    Column("id", _C, primary_key=True),
    Column("id_reversed", _C, nullable=False),
    Column("content", _C),
    Column("tags", ARRAY(Text), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("state", _C, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("occurred_at", _C),
    Column("expires_at", _C),
    Column("privacy", _C, nullable=False),
    Column("source", _C),
    Column("thread", _C),
    Column("speaker", _C),
    Column("client", _C, nullable=False),
    Column("supersedes", _C),
    Column("created_at", _C, nullable=False),
    Column("updated_at", _C, nullable=False),
    Column("version", _C, nullable=False),
    Column("at", _C, nullable=False),
    Column("stamps", JSON, nullable=False),
    Column("extra", JSON, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("text_key", LargeBinary, nullable=False),
    Column("purged", Boolean, nullable=False),
    Column("apart", Boolean, nullable=False, server_default=text("false")),
    Column(
        "words",
        TSVECTOR,
        Computed(
            "CASE WHEN content IS NOT NULL AND NOT deleted THEN jmem.words_of(content, speaker, occurred_at, tags) END",
            persisted=True,
        ),
    ),
    _bucket("id"),
    Index("memories_id_reversed", "user_id", "id_reversed"),
    Index(
        "memories_created", "user_id", "created_at", "id", postgresql_where=text("content IS NOT NULL AND NOT deleted")
    ),
    Index(
        "memories_updated", "user_id", "updated_at", "id", postgresql_where=text("content IS NOT NULL AND NOT deleted")
    ),
    Index("memories_at", "user_id", "at", "id", postgresql_where=text("content IS NOT NULL AND NOT deleted")),
    Index("memories_text_key", "user_id", "text_key"),
    Index("memories_thread", "user_id", "thread", "at", "id", postgresql_where=text("thread IS NOT NULL")),
    Index("memories_supersedes", "user_id", "supersedes", postgresql_where=text("supersedes IS NOT NULL")),
    Index("memories_seq", "user_id", "seq"),
    Index("memories_bucket", "user_id", "bucket"),
    Index("memories_apart", "user_id", "id", postgresql_where=text("apart")),
    Index("memories_words", "user_id", "words", postgresql_using="gin", postgresql_where=text("words IS NOT NULL")),
)
"""What the ops add up to. `content` is null while no op has given it (an edit came first), and for ever once `purged`. One
that is `apart` has different texts that were written apart."""

index_state = Table(
    "index_state",
    metadata,
    _key(),
    Column("id", _C, primary_key=True),
    Column("content_stamp", _C, nullable=False),
    Column("model", _C, primary_key=True),
    Column("text_key", LargeBinary, nullable=False, server_default=text("''")),
)
"""Which text of a memory the vector index has, by which model."""

index_heads = Table(
    "index_heads",
    metadata,
    _key(),
    Column("model", _C, primary_key=True),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("worker", Uuid),
    Column("busy_until", DateTime(timezone=True)),
    Column("failures", Integer, nullable=False, server_default=text("0")),
)
"""How far the vector index of a model has followed the feed, and who is at it (or pauses) until when."""

access_heads = Table(
    "access_heads", metadata, _key(), Column("last", BigInteger, nullable=False, server_default=text("0"))
)
"""The number of each tenant's last access; its lock keeps what is purged out of what is written then."""

accesses = Table(
    "accesses",
    metadata,
    _key(),
    Column("id", BigInteger, primary_key=True),
    Column("at", _C, nullable=False),
    Column("client", _C, nullable=False),
    Column("what", _C, nullable=False),
    Column("query", _C),
    Column("detail", JSON, nullable=False),
    Column("ids", ARRAY(Uuid), nullable=False),
    Column("scores", JSON),
    Index("accesses_at", "at", postgresql_using="brin"),
)
"""Who asked for what. `ids` are the memories of the answer in their order, null for one that was purged since; `scores`
has score and legs of each, in a search."""

distinctions = Table(
    "distinctions",
    metadata,
    _key(),
    Column("a", _C, primary_key=True),
    Column("b", _C, primary_key=True),
    Column("stamps", _C, nullable=False),
)
"""Pairs of memories that are no duplicates, while the stamps of their texts are these."""

TENANT_TABLES: tuple[Table, ...] = (
    sync_heads,
    ops,
    refused,
    actions,
    memories,
    index_state,
    index_heads,
    access_heads,
    accesses,
    distinctions,
)

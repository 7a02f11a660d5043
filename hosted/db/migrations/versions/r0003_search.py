"""Full-text search of memories, and how far the vector index is.

What no tenant's transaction could ask is answered by functions that run as `jmem_index`, which can't log in and which
nobody may take on: which accounts the vector index is behind for, and which memories of the transaction's tenant have
some words (row-level security would keep the full-text index from being used, since `@@` might tell what it compares;
so this one function looks past it and asks for the tenant itself. What it finds is read again by the tenant).
"""

from __future__ import annotations

from alembic import op

from hosted.db.fulltext import PLAIN, WORDS_OF
from hosted.db.security import THE_TENANT, protect

revision = "0003"
down_revision = "0002"

_C = 'text COLLATE "C"'
_SEARCH = (
    "CREATE EXTENSION IF NOT EXISTS btree_gin",
    PLAIN,
    WORDS_OF,
    """ALTER TABLE jmem.memories ADD COLUMN words tsvector GENERATED ALWAYS AS (
        CASE WHEN content IS NOT NULL AND NOT deleted THEN jmem.words_of(content, speaker, occurred_at, tags) END) STORED""",
    "CREATE INDEX memories_words ON jmem.memories USING gin (user_id, words) WHERE words IS NOT NULL",
    "CREATE INDEX memories_seq ON jmem.memories (user_id, seq)",
)
_STATE = (
    "TRUNCATE jmem.index_state",  # derived: filled again
    "ALTER TABLE jmem.index_state DROP CONSTRAINT index_state_pkey, ADD PRIMARY KEY (user_id, id, model),"
    " ADD COLUMN text_key bytea NOT NULL DEFAULT ''",
    f"""CREATE TABLE jmem.index_heads (
        user_id uuid NOT NULL,
        model {_C} NOT NULL,
        seq bigint NOT NULL DEFAULT 0,
        worker uuid,
        busy_until timestamptz,
        failures integer NOT NULL DEFAULT 0,
        PRIMARY KEY (user_id, model)
    )""",
)
_ROLE = (
    "DO $$ BEGIN CREATE ROLE jmem_index NOLOGIN;"
    " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    "GRANT USAGE ON SCHEMA jmem TO jmem_index",
    "GRANT SELECT (user_id, id, words) ON jmem.memories TO jmem_index",
    "GRANT SELECT (user_id, seq) ON jmem.sync_heads TO jmem_index",
    "GRANT SELECT (user_id, model), DELETE ON jmem.index_state TO jmem_index",
    "GRANT SELECT, DELETE ON jmem.index_heads TO jmem_index",
    *(
        f"CREATE POLICY index_{verb} ON jmem.{table} FOR {verb} TO jmem_index USING (true)"
        for table, verb in (
            ("memories", "SELECT"), ("sync_heads", "SELECT"), ("index_state", "SELECT"), ("index_state", "DELETE"),
            ("index_heads", "SELECT"), ("index_heads", "DELETE"),
        )
    ),
)  # fmt: skip
_BODY = "SECURITY DEFINER SET search_path = jmem, pg_temp"
_FUNCTIONS = {
    "matching(tsquery[], integer)": f"""CREATE FUNCTION jmem.matching(queries tsquery[], most integer)
        RETURNS TABLE (term integer, total bigint, ids text[], ranks real[], lengths integer[])
        LANGUAGE sql STABLE {_BODY} AS $$
            SELECT q.term::integer, found.total, found.ids, found.ranks, found.lengths
            FROM unnest(queries) WITH ORDINALITY q (query, term) CROSS JOIN LATERAL (
                SELECT coalesce(max(total), 0) AS total, array_agg(id) AS ids, array_agg(ts_rank(words, q.query)) AS ranks,
                    array_agg(length(words)) AS lengths
                FROM (SELECT m.id, m.words, count(*) OVER () AS total FROM memories m
                    WHERE {THE_TENANT} AND m.words @@ q.query AND m.words IS NOT NULL ORDER BY m.id DESC LIMIT most) newest
            ) found $$""",
    "index_behind(text, integer)": f"""CREATE FUNCTION jmem.index_behind(asked text, most integer)
        RETURNS SETOF uuid LANGUAGE sql STABLE {_BODY} AS $$
            SELECT h.user_id FROM sync_heads h LEFT JOIN index_heads i ON i.user_id = h.user_id AND i.model = asked
            WHERE coalesce(i.seq, 0) < h.seq AND coalesce(i.busy_until < now(), true) LIMIT most $$""",
    "index_depth(text)": f"""CREATE FUNCTION jmem.index_depth(asked text)
        RETURNS TABLE (accounts bigint, changes bigint, empty bigint, worst bigint) LANGUAGE sql STABLE {_BODY} AS $$
            SELECT count(*), coalesce(sum(h.seq - coalesce(i.seq, 0)), 0)::bigint,
                count(*) FILTER (WHERE coalesce(i.seq, 0) = 0), coalesce(max(h.seq - coalesce(i.seq, 0)), 0)
            FROM sync_heads h LEFT JOIN index_heads i ON i.user_id = h.user_id AND i.model = asked
            WHERE coalesce(i.seq, 0) < h.seq $$""",
    "index_forget(text)": f"""CREATE FUNCTION jmem.index_forget(asked text)
        RETURNS void LANGUAGE sql VOLATILE {_BODY} AS $$
            DELETE FROM index_heads WHERE model = asked;
            DELETE FROM index_state WHERE model = asked $$""",
}


def upgrade() -> None:
    heads = protect("index_heads", metrics=("user_id", "model", "seq"))
    for sql in (*_SEARCH, *_STATE, *heads, *_ROLE, *_FUNCTIONS.values()):
        op.execute(sql)
    op.execute("GRANT jmem_index TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_index")  # an owner of functions must be able to make them
    for name in _FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION jmem.{name} FROM PUBLIC")
        op.execute(f"ALTER FUNCTION jmem.{name} OWNER TO jmem_index")
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_index")
    for name in _FUNCTIONS:
        op.execute(f"GRANT EXECUTE ON FUNCTION jmem.{name} TO jmem_app")
    op.execute("REVOKE jmem_index FROM CURRENT_USER")


def downgrade() -> None:
    op.execute("GRANT jmem_index TO CURRENT_USER")
    for name in _FUNCTIONS:
        op.execute(f"DROP FUNCTION jmem.{name}")
    op.execute("DROP TABLE jmem.index_heads")
    for table, verb in (
        ("memories", "select"),
        ("sync_heads", "select"),
        ("index_state", "select"),
        ("index_state", "delete"),
    ):
        op.execute(f"DROP POLICY index_{verb} ON jmem.{table}")
    op.execute("REVOKE ALL ON jmem.memories, jmem.sync_heads, jmem.index_state FROM jmem_index")
    op.execute("REVOKE SELECT (user_id, id, words) ON jmem.memories FROM jmem_index")
    op.execute("REVOKE SELECT (user_id, seq) ON jmem.sync_heads FROM jmem_index")
    op.execute("REVOKE SELECT (user_id, model) ON jmem.index_state FROM jmem_index")
    op.execute("TRUNCATE jmem.index_state")
    op.execute(
        "ALTER TABLE jmem.index_state DROP CONSTRAINT index_state_pkey, ADD PRIMARY KEY (user_id, id),"
        " DROP COLUMN text_key"
    )
    op.execute("DROP INDEX jmem.memories_seq")
    op.execute("ALTER TABLE jmem.memories DROP COLUMN words")
    op.execute("DROP FUNCTION jmem.words_of(text, text, text, text[])")
    op.execute("DROP FUNCTION jmem.plain(text)")
    op.execute("REVOKE USAGE ON SCHEMA jmem FROM jmem_index")
    op.execute("REVOKE jmem_index FROM CURRENT_USER")

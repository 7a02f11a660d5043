"""Which texts an op's own text replaced, as a column: the log of a memory need not be read for it.

The column is worked out from the op itself, so that whatever changes the one (a purge, a copy that comes again) changes
the other. Its log is found in the order of its stamps.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

# Postgres reads no JSON that names a NUL, which an op may (an unknown field, a nonce): such an escape is taken for a
# letter. Ops are canonical, so that it is written in one way only.
_READABLE = r"""CASE WHEN strpos(payload, '\u0000') = 0 THEN payload
        ELSE regexp_replace(payload, '(?<!\\)((?:\\\\)*)\\u0000', '\1?', 'g') END"""
_BASE_OF = f"""CREATE FUNCTION jmem.base_of(payload text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY(SELECT json_array_elements_text(op.json -> 'base')) FROM (SELECT ({_READABLE})::json AS json) op
    WHERE op.json -> 'set' -> 'content' IS NOT NULL $$"""


def upgrade() -> None:
    op.execute(_BASE_OF)
    op.execute(
        'ALTER TABLE jmem.ops ADD COLUMN base text[] COLLATE "C" GENERATED ALWAYS AS (jmem.base_of(payload)) STORED'
    )
    op.execute("DROP INDEX jmem.ops_memory")
    op.execute("CREATE INDEX ops_memory ON jmem.ops (user_id, memory_id, stamp)")


def downgrade() -> None:
    op.execute("DROP INDEX jmem.ops_memory")
    op.execute("CREATE INDEX ops_memory ON jmem.ops (user_id, memory_id)")
    op.execute("ALTER TABLE jmem.ops DROP COLUMN base")
    op.execute("DROP FUNCTION jmem.base_of(text)")

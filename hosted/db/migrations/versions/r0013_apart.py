"""A mark on memories with texts that were written apart; those that there are get it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from jmem.core.merge import in_conflict
from jmem.core.model import Op

revision = "0013"
down_revision = "0012"

_SEVERAL = text("""
SELECT o.user_id, o.memory_id, array_agg(o.stamp) AS stamps FROM jmem.ops o
LEFT JOIN (SELECT user_id, memory_id, unnest(base) AS stamp FROM jmem.ops) seen USING (user_id, memory_id, stamp)
WHERE o.base IS NOT NULL AND seen.stamp IS NULL GROUP BY o.user_id, o.memory_id HAVING count(*) > 1""")
"""The memories with more than one head; the texts may be the same."""
_HEADS = text("SELECT payload FROM jmem.ops WHERE user_id = :user_id AND stamp = ANY (:stamps)")
_MARK = text("UPDATE jmem.memories SET apart = true WHERE user_id = :user_id AND id = :memory_id AND NOT purged")


def upgrade() -> None:
    op.execute("ALTER TABLE jmem.memories ADD COLUMN apart boolean NOT NULL DEFAULT false")
    # the owner of the tables fills it for every account, also one whom row-level security would bind
    for table in ("memories", "ops"):
        op.execute(f"ALTER TABLE jmem.{table} NO FORCE ROW LEVEL SECURITY")
    _fill()
    for table in ("memories", "ops"):
        op.execute(f"ALTER TABLE jmem.{table} FORCE ROW LEVEL SECURITY")
    op.execute("CREATE INDEX memories_apart ON jmem.memories (user_id, id) WHERE apart")


def _fill() -> None:
    connection = op.get_bind()
    for one in connection.execute(_SEVERAL).mappings().all():
        heads = connection.execute(_HEADS, {"user_id": one["user_id"], "stamps": one["stamps"]}).scalars().all()
        if in_conflict(map(Op.parse, heads)):
            connection.execute(_MARK, {"user_id": one["user_id"], "memory_id": one["memory_id"]})


def downgrade() -> None:
    op.execute("DROP INDEX jmem.memories_apart")
    op.execute("ALTER TABLE jmem.memories DROP COLUMN apart")

"""The bucket of the hash tree that a memory is in, as a column with an index: a part of the tree reads what is in it alone.

An index of the expression would not do: row-level security lets no function that might tell a value go before it.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

_BUCKET = "\"left\"(encode(sha256({id}::bytea), 'hex'::text), 4)"


def upgrade() -> None:
    for table, id in (("ops", "memory_id"), ("memories", "id")):
        op.execute(f'ALTER TABLE jmem.{table} ADD COLUMN bucket text COLLATE "C"'
                   f" GENERATED ALWAYS AS ({_BUCKET.format(id=id)}) STORED")  # fmt: skip
        op.execute(f"CREATE INDEX {table}_bucket ON jmem.{table} (user_id, bucket)")


def downgrade() -> None:
    for table in ("ops", "memories"):
        op.execute(f"ALTER TABLE jmem.{table} DROP COLUMN bucket")

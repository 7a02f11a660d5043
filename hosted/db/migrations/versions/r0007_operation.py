"""What operation asks the database: its revision, and since when accounts have been there."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("GRANT SELECT ON jmem.alembic_version TO jmem_app, jmem_metrics")
    op.execute("ALTER TABLE jmem.sync_heads ADD COLUMN created_at timestamptz NOT NULL DEFAULT now()")
    op.execute("GRANT SELECT (created_at) ON jmem.sync_heads TO jmem_metrics")


def downgrade() -> None:
    op.execute("ALTER TABLE jmem.sync_heads DROP COLUMN created_at")
    op.execute("REVOKE SELECT ON jmem.alembic_version FROM jmem_app, jmem_metrics")

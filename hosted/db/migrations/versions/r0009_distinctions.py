"""Notes that two memories are no duplicates, by the stamps of the two texts that they are about."""

from __future__ import annotations

from alembic import op

from hosted.db.security import protect

revision = "0009"
down_revision = "0008"

_C = 'text COLLATE "C"'


def upgrade() -> None:
    op.execute(
        f"CREATE TABLE jmem.distinctions (user_id uuid NOT NULL, a {_C} NOT NULL, b {_C} NOT NULL, stamps {_C} NOT NULL,"
        " PRIMARY KEY (user_id, a, b))"
    )
    for sql in protect("distinctions", app="SELECT, INSERT, UPDATE, DELETE"):
        op.execute(sql)


def downgrade() -> None:
    op.execute("DROP TABLE jmem.distinctions")

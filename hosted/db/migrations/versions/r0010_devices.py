"""Machines that sync with an account, and the codes by which a browser hands one of them its sign-in."""

from __future__ import annotations

from alembic import op

from hosted.db.security import protect

revision = "0010"
down_revision = "0009"

_C = 'text COLLATE "C"'
_TABLES = (
    f"""CREATE TABLE jmem.devices (
        user_id uuid NOT NULL,
        device {_C} NOT NULL,
        name text NOT NULL DEFAULT '',
        platform {_C} NOT NULL DEFAULT '',
        via {_C} NOT NULL,
        proof {_C} NOT NULL,
        first_seen timestamptz NOT NULL DEFAULT now(),
        last_seen timestamptz NOT NULL DEFAULT now(),
        pulled_seq bigint,
        pushed_seq bigint,
        revoked_at timestamptz,
        PRIMARY KEY (user_id, device)
    )""",
    f"""CREATE TABLE jmem.device_codes (
        user_id uuid NOT NULL,
        digest bytea NOT NULL CHECK (length(digest) = 32),
        challenge {_C} NOT NULL,
        name text NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, digest)
    )""",
)


def upgrade() -> None:
    for sql in (
        *_TABLES,
        *protect("devices", metrics=("user_id", "last_seen", "revoked_at")),
        *protect("device_codes", app="SELECT, INSERT, DELETE"),
    ):
        op.execute(sql)
    op.execute("GRANT jmem_lookup TO CURRENT_USER")  # whose function the triggers call
    for table in ("devices", "device_codes"):
        op.execute(f"CREATE TRIGGER refuse_deleted BEFORE INSERT ON jmem.{table}"
                   " FOR EACH ROW EXECUTE FUNCTION jmem.refuse_deleted()")  # fmt: skip
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def downgrade() -> None:
    op.execute("DROP TABLE jmem.device_codes")
    op.execute("DROP TABLE jmem.devices")

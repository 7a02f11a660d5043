"""The page's sessions: kept here, so that a browser holds nothing but the name of one.

The tokens are sealed with a key that only the browser's cookie holds; a copy of this table signs nobody in. Which user a
session is of is told by one function, before any tenant is set.
"""

from __future__ import annotations

from alembic import op

from hosted.db.security import protect

revision = "0004"
down_revision = "0003"

_C = 'text COLLATE "C"'
_TABLE = f"""CREATE TABLE jmem.web_sessions (
    user_id uuid NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    sealed bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    refresh_until timestamptz,
    agent {_C} NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, digest),
    CONSTRAINT web_sessions_digest UNIQUE (digest)
)"""
_FUNCTION = """CREATE FUNCTION jmem.web_session_holder(asked bytea) RETURNS TABLE (
        user_id uuid, sealed bytea, deleted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
    SELECT s.user_id, s.sealed, jmem.is_deleted(s.user_id) FROM jmem.web_sessions s
    WHERE s.digest = asked AND s.expires_at > now() $$"""


def upgrade() -> None:
    for sql in (_TABLE, *protect("web_sessions", app="SELECT, INSERT, UPDATE, DELETE", metrics=("user_id", "used_at"))):
        op.execute(sql)
    op.execute("CREATE POLICY lookup_select ON jmem.web_sessions FOR SELECT TO jmem_lookup USING (true)")
    op.execute("GRANT SELECT ON jmem.web_sessions TO jmem_lookup")
    op.execute(_FUNCTION)
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_lookup")  # an owner of functions must be able to make them
    op.execute("REVOKE EXECUTE ON FUNCTION jmem.web_session_holder(bytea) FROM PUBLIC")
    op.execute("ALTER FUNCTION jmem.web_session_holder(bytea) OWNER TO jmem_lookup")
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_lookup")
    op.execute("GRANT EXECUTE ON FUNCTION jmem.web_session_holder(bytea) TO jmem_app")
    op.execute("CREATE TRIGGER refuse_deleted BEFORE INSERT ON jmem.web_sessions"
               " FOR EACH ROW EXECUTE FUNCTION jmem.refuse_deleted()")  # fmt: skip
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def downgrade() -> None:
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("DROP FUNCTION jmem.web_session_holder(bytea)")
    op.execute("DROP TABLE jmem.web_sessions")
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")

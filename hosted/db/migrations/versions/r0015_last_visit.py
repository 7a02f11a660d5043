"""When a browser was last here, kept to the minute by the look-up of its session, as the last use of a key is."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

_HOLDER = """CREATE OR REPLACE FUNCTION jmem.web_session_holder(asked bytea) RETURNS TABLE (
        user_id uuid, sealed bytea, deleted boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
    #variable_conflict use_column
    BEGIN
        UPDATE jmem.web_sessions SET used_at = now() WHERE ctid = (
            SELECT s.ctid FROM jmem.web_sessions s
            WHERE s.digest = asked AND s.expires_at > now() AND s.used_at < now() - interval '1 minute'
            FOR UPDATE SKIP LOCKED);
        RETURN QUERY SELECT s.user_id, s.sealed, jmem.is_deleted(s.user_id) FROM jmem.web_sessions s
            WHERE s.digest = asked AND s.expires_at > now();
    END $$"""
_BEFORE = """CREATE OR REPLACE FUNCTION jmem.web_session_holder(asked bytea) RETURNS TABLE (
        user_id uuid, sealed bytea, deleted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
    SELECT s.user_id, s.sealed, jmem.is_deleted(s.user_id) FROM jmem.web_sessions s
    WHERE s.digest = asked AND s.expires_at > now() $$"""


def _replace(function: str) -> None:
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_lookup")  # an owner of functions must be able to make them
    op.execute(function)
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_lookup")
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def upgrade() -> None:
    op.execute("CREATE POLICY lookup_update ON jmem.web_sessions FOR UPDATE TO jmem_lookup USING (true)")
    op.execute("GRANT UPDATE (used_at) ON jmem.web_sessions TO jmem_lookup")
    _replace(_HOLDER)


def downgrade() -> None:
    _replace(_BEFORE)
    op.execute("REVOKE UPDATE (used_at) ON jmem.web_sessions FROM jmem_lookup")
    op.execute("DROP POLICY lookup_update ON jmem.web_sessions")

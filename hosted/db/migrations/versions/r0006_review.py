"""What programs write may wait for the owner, and their changes within an hour may be capped."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = """CREATE FUNCTION jmem.key_holder(asked bytea) RETURNS TABLE (
            user_id uuid, id uuid, kind text, client text, can_read boolean, can_write boolean, can_delete boolean,
            tags text[]{asked}, valid boolean, deleted boolean)
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        #variable_conflict use_column
        BEGIN
            -- the last use is kept to the minute, and never waited for
            UPDATE jmem.api_keys SET last_used_at = now() WHERE ctid = (
                SELECT k.ctid FROM jmem.api_keys k
                WHERE k.digest = asked AND k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true)
                    AND coalesce(k.last_used_at < now() - interval '1 minute', true) FOR UPDATE SKIP LOCKED);
            RETURN QUERY SELECT k.user_id, k.id, k.kind::text, k.client::text, k.can_read, k.can_write, k.can_delete,
                k.tags{held}, k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true), jmem.is_deleted(k.user_id)
                FROM jmem.api_keys k WHERE k.digest = asked;
        END $$"""
_SESSION = """CREATE FUNCTION jmem.session_holder(asked uuid, session text, program text, issued timestamptz) RETURNS TABLE (
            deleted boolean, signed_out boolean, client text, can_read boolean, can_write boolean, can_delete boolean,
            tags text[]{asked})
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        #variable_conflict use_column
        BEGIN
            IF program IS NOT NULL THEN
                UPDATE jmem.grants SET last_used_at = now() WHERE ctid = (
                    SELECT g.ctid FROM jmem.grants g
                    WHERE g.user_id = asked AND g.client_id = program AND g.revoked_at IS NULL
                        AND coalesce(g.last_used_at < now() - interval '1 minute', true) FOR UPDATE SKIP LOCKED);
            END IF;
            RETURN QUERY SELECT jmem.is_deleted(asked), EXISTS (
                    SELECT FROM jmem.sign_outs s WHERE s.user_id = asked
                        AND (s.session_id = session OR s.session_id = '*' AND issued < s.at)),
                g.client::text, g.can_read, g.can_write, g.can_delete, g.tags{held}
                FROM (SELECT) one LEFT JOIN jmem.grants g
                    ON g.user_id = asked AND g.client_id = program AND g.revoked_at IS NULL;
        END $$"""
_NAMES = ("key_holder(bytea)", "session_holder(uuid, text, text, timestamptz)")


def _replace(*, asked: str = "", key: str = "", grant: str = "") -> None:
    """Make both look-ups anew: what a function returns can't be changed."""
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_lookup")
    for name in _NAMES:
        op.execute(f"DROP FUNCTION jmem.{name}")
    op.execute(_KEY.format(asked=asked, held=key))
    op.execute(_SESSION.format(asked=asked, held=grant))
    for name in _NAMES:
        op.execute(f"REVOKE EXECUTE ON FUNCTION jmem.{name} FROM PUBLIC")
        op.execute(f"ALTER FUNCTION jmem.{name} OWNER TO jmem_lookup")
        op.execute(f"GRANT EXECUTE ON FUNCTION jmem.{name} TO jmem_app")
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_lookup")
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def upgrade() -> None:
    for table in ("api_keys", "grants"):
        op.execute(
            f"ALTER TABLE jmem.{table} ADD COLUMN review boolean NOT NULL DEFAULT false, ADD COLUMN writes_per_hour integer"
            f" CONSTRAINT {table}_writes_per_hour CHECK (writes_per_hour > 0)"
        )
    _replace(
        asked=", review boolean, writes_per_hour integer", key=", k.review, k.writes_per_hour",
        grant=", g.review, g.writes_per_hour",
    )  # fmt: skip


def downgrade() -> None:
    _replace()
    for table in ("api_keys", "grants"):
        op.execute(f"ALTER TABLE jmem.{table} DROP COLUMN writes_per_hour, DROP COLUMN review")

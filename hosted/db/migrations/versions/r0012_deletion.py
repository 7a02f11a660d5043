"""The end of an account and what is written meanwhile: one waits for the other; its keys are known by a hash afterwards.

Whatever is inserted for an account shares a lock of the account's until its transaction ends, and its deletion begins
with that lock alone: nothing that it does not see can be committed after it.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

_REFUSE = """CREATE OR REPLACE FUNCTION jmem.refuse_deleted() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        BEGIN{lock}
            IF jmem.is_deleted(NEW.user_id) THEN
                RAISE EXCEPTION 'account_deleted' USING ERRCODE = 'JM410';
            END IF;
            RETURN NEW;
        END $$"""
_LOCK = """
            PERFORM pg_advisory_xact_lock_shared(hashtextextended('jmem.account ' || NEW.user_id, 0));"""
_KEY = """CREATE OR REPLACE FUNCTION jmem.key_holder(asked bytea) RETURNS TABLE (
            user_id uuid, id uuid, kind text, client text, can_read boolean, can_write boolean, can_delete boolean,
            tags text[], review boolean, writes_per_hour integer, valid boolean, deleted boolean)
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        #variable_conflict use_column
        BEGIN
            -- the last use is kept to the minute, and never waited for
            UPDATE jmem.api_keys SET last_used_at = now() WHERE ctid = (
                SELECT k.ctid FROM jmem.api_keys k
                WHERE k.digest = asked AND k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true)
                    AND coalesce(k.last_used_at < now() - interval '1 minute', true) FOR UPDATE SKIP LOCKED);
            RETURN QUERY SELECT k.user_id, k.id, k.kind::text, k.client::text, k.can_read, k.can_write, k.can_delete,
                k.tags, k.review, k.writes_per_hour, k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true),
                jmem.is_deleted(k.user_id)
                FROM jmem.api_keys k WHERE k.digest = asked;{gone}
        END $$"""
_GONE = """
            IF NOT FOUND AND EXISTS (SELECT FROM jmem.tombstones WHERE user_hash = sha256(asked)) THEN
                deleted := true;
                RETURN NEXT;
            END IF;"""
_GUARDED = ("sign_outs", "distinctions")


def upgrade() -> None:
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_lookup")  # an owner of functions must be able to make them
    op.execute(_REFUSE.format(lock=_LOCK))
    op.execute(_KEY.format(gone=_GONE))
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_lookup")
    for table in _GUARDED:
        op.execute(f"CREATE TRIGGER refuse_deleted BEFORE INSERT ON jmem.{table}"
                   " FOR EACH ROW EXECUTE FUNCTION jmem.refuse_deleted()")  # fmt: skip
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def downgrade() -> None:
    for table in _GUARDED:
        op.execute(f"DROP TRIGGER refuse_deleted ON jmem.{table}")
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_lookup")
    op.execute(_REFUSE.format(lock=""))
    op.execute(_KEY.format(gone=""))
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_lookup")
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")

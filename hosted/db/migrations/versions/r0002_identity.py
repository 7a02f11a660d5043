"""Keys, programs that were let in, sign-outs, and accounts that are or were deleted.

Two functions answer who asks, before any tenant is set. They run as `jmem_lookup`, which can't log in, which nobody may
take on, and which sees just what they need.
"""

from __future__ import annotations

from alembic import op

from hosted.db.security import THE_TENANT, protect

revision = "0002"
down_revision = "0001"

_C = 'text COLLATE "C"'
_RIGHTS = """
        can_read boolean NOT NULL,
        can_write boolean NOT NULL,
        can_delete boolean NOT NULL,
        tags text[],
        created_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz,
        revoked_at timestamptz"""
_TABLES = (
    f"""CREATE TABLE jmem.api_keys (
        user_id uuid NOT NULL,
        id uuid NOT NULL,
        kind {_C} NOT NULL CHECK (kind IN ('api', 'connector')),
        name {_C} NOT NULL,
        client {_C} NOT NULL,
        digest bytea NOT NULL CHECK (length(digest) = 32),
        hint {_C} NOT NULL,
        expires_at timestamptz,
        replaces uuid,{_RIGHTS},
        PRIMARY KEY (user_id, id),
        CONSTRAINT api_keys_digest UNIQUE (digest)
    )""",
    f"""CREATE TABLE jmem.grants (
        user_id uuid NOT NULL,
        client_id {_C} NOT NULL,
        client {_C} NOT NULL,
        name {_C} NOT NULL,{_RIGHTS},
        PRIMARY KEY (user_id, client_id)
    )""",
    f"""CREATE TABLE jmem.sign_outs (
        user_id uuid NOT NULL,
        session_id {_C} NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (user_id, session_id)
    )""",
    f"""CREATE TABLE jmem.deletions (
        user_id uuid PRIMARY KEY,
        asked_at timestamptz NOT NULL DEFAULT now(),
        step {_C} NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        problem {_C}
    )""",
    """CREATE TABLE jmem.tombstones (
        user_hash bytea PRIMARY KEY,
        deleted_at timestamptz NOT NULL DEFAULT now()
    )""",
)
_TENANT_TABLES = {
    "api_keys": ("user_id", "kind", "client", "created_at", "last_used_at", "revoked_at"),
    "grants": ("user_id", "client", "created_at", "last_used_at", "revoked_at"),
    "sign_outs": (),
}
"""Each with the columns that may be counted."""
_OWN = (  # not a tenant's: kept beyond the account, and seen by nothing but its deletion
    "ALTER TABLE jmem.deletions ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE jmem.deletions FORCE ROW LEVEL SECURITY",
    "CREATE POLICY deletion ON jmem.deletions TO jmem_deletion USING (true) WITH CHECK (true)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON jmem.deletions TO jmem_deletion",
    "ALTER TABLE jmem.tombstones ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE jmem.tombstones FORCE ROW LEVEL SECURITY",
    "CREATE POLICY deletion ON jmem.tombstones TO jmem_deletion USING (true) WITH CHECK (true)",
    "CREATE POLICY lookup ON jmem.tombstones FOR SELECT TO jmem_lookup USING (true)",
    "GRANT SELECT, INSERT ON jmem.tombstones TO jmem_deletion",
    "GRANT SELECT ON jmem.tombstones TO jmem_lookup",
    # one may forget one's own sign-outs, once no token of theirs can be alive
    f"CREATE POLICY forget ON jmem.sign_outs AS RESTRICTIVE FOR DELETE TO jmem_app USING ({THE_TENANT}"
    " AND at < now() - interval '8 days')",
)
_LOOKUP = (
    "DO $$ BEGIN CREATE ROLE jmem_lookup NOLOGIN;"
    " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    "GRANT USAGE ON SCHEMA jmem TO jmem_lookup",
    *(
        f"CREATE POLICY lookup_{verb} ON jmem.{table} FOR {verb} TO jmem_lookup USING (true)"
        for table, verb in (
            ("api_keys", "SELECT"), ("api_keys", "UPDATE"), ("grants", "SELECT"), ("grants", "UPDATE"),
            ("sign_outs", "SELECT"),
        )
    ),
    "GRANT SELECT, UPDATE (last_used_at) ON jmem.api_keys, jmem.grants TO jmem_lookup",
    "GRANT SELECT ON jmem.sign_outs TO jmem_lookup",
)  # fmt: skip
_FUNCTIONS = (
    """CREATE FUNCTION jmem.is_deleted(asked uuid) RETURNS boolean
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = jmem, pg_temp
        RETURN EXISTS (SELECT FROM jmem.tombstones WHERE user_hash = sha256(uuid_send(asked)))""",
    """CREATE FUNCTION jmem.key_holder(asked bytea) RETURNS TABLE (
            user_id uuid, id uuid, kind text, client text, can_read boolean, can_write boolean, can_delete boolean,
            tags text[], valid boolean, deleted boolean)
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        #variable_conflict use_column
        BEGIN
            -- the last use is kept to the minute, and never waited for
            UPDATE jmem.api_keys SET last_used_at = now() WHERE ctid = (
                SELECT k.ctid FROM jmem.api_keys k
                WHERE k.digest = asked AND k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true)
                    AND coalesce(k.last_used_at < now() - interval '1 minute', true) FOR UPDATE SKIP LOCKED);
            RETURN QUERY SELECT k.user_id, k.id, k.kind::text, k.client::text, k.can_read, k.can_write, k.can_delete,
                k.tags, k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true), jmem.is_deleted(k.user_id)
                FROM jmem.api_keys k WHERE k.digest = asked;
        END $$""",
    """CREATE FUNCTION jmem.session_holder(asked uuid, session text, program text, issued timestamptz) RETURNS TABLE (
            deleted boolean, signed_out boolean, client text, can_read boolean, can_write boolean, can_delete boolean,
            tags text[])
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
                g.client::text, g.can_read, g.can_write, g.can_delete, g.tags
                FROM (SELECT) one LEFT JOIN jmem.grants g
                    ON g.user_id = asked AND g.client_id = program AND g.revoked_at IS NULL;
        END $$""",
    """CREATE FUNCTION jmem.refuse_deleted() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        BEGIN
            IF jmem.is_deleted(NEW.user_id) THEN
                RAISE EXCEPTION 'account_deleted' USING ERRCODE = 'JM410';
            END IF;
            RETURN NEW;
        END $$""",
)
_NAMES = ("is_deleted(uuid)", "key_holder(bytea)", "session_holder(uuid, text, text, timestamptz)", "refuse_deleted()")
# A request that came in before its account was deleted must not write after it: whatever it writes needs one of these.
_GUARDED = ("sync_heads", "api_keys", "grants")


def upgrade() -> None:
    protected = (sql for table, counted in _TENANT_TABLES.items() for sql in protect(table, metrics=counted))
    for sql in (*_TABLES, *protected, *_LOOKUP, *_OWN, *_FUNCTIONS):
        op.execute(sql)
    op.execute("GRANT DELETE ON jmem.sign_outs TO jmem_app")
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_lookup")  # an owner of functions must be able to make them
    for name in _NAMES:
        op.execute(f"REVOKE EXECUTE ON FUNCTION jmem.{name} FROM PUBLIC")
        op.execute(f"ALTER FUNCTION jmem.{name} OWNER TO jmem_lookup")
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_lookup")
    for name in _NAMES[1:3]:
        op.execute(f"GRANT EXECUTE ON FUNCTION jmem.{name} TO jmem_app")
    for table in _GUARDED:
        op.execute(f"CREATE TRIGGER refuse_deleted BEFORE INSERT ON jmem.{table}"
                   " FOR EACH ROW EXECUTE FUNCTION jmem.refuse_deleted()")  # fmt: skip
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def downgrade() -> None:
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    for table in _GUARDED:
        op.execute(f"DROP TRIGGER refuse_deleted ON jmem.{table}")
    for name in reversed(_NAMES):
        op.execute(f"DROP FUNCTION jmem.{name}")
    for table in (*_TENANT_TABLES, "deletions", "tombstones"):
        op.execute(f"DROP TABLE jmem.{table}")
    op.execute("REVOKE USAGE ON SCHEMA jmem FROM jmem_lookup")
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")

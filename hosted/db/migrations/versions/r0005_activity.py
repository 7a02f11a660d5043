"""Who asked for what: the access log of every tenant, numbered by its own head, and the function that forgets old days.

Days are forgotten in all accounts, used or not, by a function that runs as `jmem_activity`, which can't log in and may do
nothing else.
"""

from __future__ import annotations

from alembic import op

from hosted.db.security import protect

revision = "0005"
down_revision = "0004"

_C = 'text COLLATE "C"'
_TABLES = (
    """CREATE TABLE jmem.access_heads (
        user_id uuid PRIMARY KEY,
        last bigint NOT NULL DEFAULT 0
    )""",
    f"""CREATE TABLE jmem.accesses (
        user_id uuid NOT NULL,
        id bigint NOT NULL,
        at {_C} NOT NULL,
        client {_C} NOT NULL,
        what {_C} NOT NULL,
        query {_C},
        detail json NOT NULL,
        ids uuid[] NOT NULL,
        scores json,
        PRIMARY KEY (user_id, id)
    )""",
    "CREATE INDEX accesses_at ON jmem.accesses USING brin (at)",
)
_ROLE = (
    "DO $$ BEGIN CREATE ROLE jmem_activity NOLOGIN;"
    " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    "GRANT USAGE ON SCHEMA jmem TO jmem_activity",
    "GRANT SELECT (at), DELETE ON jmem.accesses TO jmem_activity",
    "CREATE POLICY activity_select ON jmem.accesses FOR SELECT TO jmem_activity USING (true)",
    "CREATE POLICY activity_delete ON jmem.accesses FOR DELETE TO jmem_activity USING (true)",
)
_FORGET = """CREATE FUNCTION jmem.forget_accesses(before text) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        WITH gone AS (DELETE FROM jmem.accesses WHERE at < before RETURNING 1) SELECT count(*) FROM gone $$"""


def upgrade() -> None:
    heads = protect("access_heads")
    accesses = protect("accesses", app="SELECT, INSERT, UPDATE, DELETE", metrics=("user_id", "client", "what", "at"))
    for sql in (*_TABLES, *heads, *accesses, *_ROLE, _FORGET):
        op.execute(sql)
    op.execute("GRANT jmem_activity TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_activity")  # an owner of functions must be able to make them
    op.execute("REVOKE EXECUTE ON FUNCTION jmem.forget_accesses(text) FROM PUBLIC")
    op.execute("ALTER FUNCTION jmem.forget_accesses(text) OWNER TO jmem_activity")
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_activity")
    op.execute("GRANT EXECUTE ON FUNCTION jmem.forget_accesses(text) TO jmem_app")
    op.execute("REVOKE jmem_activity FROM CURRENT_USER")
    # what is recorded of a request that was under way when its account was deleted must not stay behind
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    op.execute("CREATE TRIGGER refuse_deleted BEFORE INSERT ON jmem.access_heads"
               " FOR EACH ROW EXECUTE FUNCTION jmem.refuse_deleted()")  # fmt: skip
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def downgrade() -> None:
    op.execute("GRANT jmem_activity TO CURRENT_USER")
    op.execute("DROP FUNCTION jmem.forget_accesses(text)")
    op.execute("DROP TABLE jmem.accesses")
    op.execute("DROP TABLE jmem.access_heads")
    op.execute("REVOKE USAGE ON SCHEMA jmem FROM jmem_activity")
    op.execute("REVOKE jmem_activity FROM CURRENT_USER")

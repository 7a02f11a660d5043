"""Answers kept for requests that may come twice, and the audit log.

The audit log is only ever added to, by whoever acts for the tenant; it goes with the account. Kept answers are forgotten
after a day in all accounts, used or not, by a function that runs as `jmem_answers`, which can't log in and may do nothing
else.
"""

from __future__ import annotations

from alembic import op

from hosted.db.security import protect

revision = "0008"
down_revision = "0007"

_C = 'text COLLATE "C"'
_TABLES = (
    f"""CREATE TABLE jmem.answers (
        user_id uuid NOT NULL,
        key bytea NOT NULL CHECK (length(key) = 32),
        request bytea NOT NULL CHECK (length(request) = 32),
        attempt uuid NOT NULL,
        state {_C} NOT NULL CHECK (state IN ('reserved', 'applied', 'answered')),
        forgotten boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        busy_until timestamptz NOT NULL,
        sealed bytea,
        PRIMARY KEY (user_id, key)
    )""",
    "CREATE INDEX answers_created ON jmem.answers (created_at)",
    f"""CREATE TABLE jmem.audit (
        user_id uuid NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        what {_C} NOT NULL,
        client {_C},
        via {_C},
        target {_C},
        address {_C},
        request {_C},
        detail json NOT NULL DEFAULT '{{}}',
        PRIMARY KEY (user_id, at, id)
    )""",
)
_ROLE = (
    "DO $$ BEGIN CREATE ROLE jmem_answers NOLOGIN;"
    " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    "GRANT USAGE ON SCHEMA jmem TO jmem_answers",
    "GRANT SELECT (created_at), DELETE ON jmem.answers TO jmem_answers",
    "CREATE POLICY answers_select ON jmem.answers FOR SELECT TO jmem_answers USING (true)",
    "CREATE POLICY answers_delete ON jmem.answers FOR DELETE TO jmem_answers USING (true)",
)
_FORGET = """CREATE FUNCTION jmem.forget_answers() RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = jmem, pg_temp AS $$
        WITH gone AS (DELETE FROM jmem.answers WHERE created_at < now() - interval '24 hours' RETURNING 1)
        SELECT count(*) FROM gone $$"""


def upgrade() -> None:
    answers = protect("answers", app="SELECT, INSERT, UPDATE, DELETE")
    audit = protect("audit", app="SELECT, INSERT", metrics=("user_id", "what", "at"))
    for sql in (*_TABLES, *answers, *audit, *_ROLE, _FORGET):
        op.execute(sql)
    op.execute("GRANT jmem_answers TO CURRENT_USER")
    op.execute("GRANT CREATE ON SCHEMA jmem TO jmem_answers")  # an owner of functions must be able to make them
    op.execute("REVOKE EXECUTE ON FUNCTION jmem.forget_answers() FROM PUBLIC")
    op.execute("ALTER FUNCTION jmem.forget_answers() OWNER TO jmem_answers")
    op.execute("REVOKE CREATE ON SCHEMA jmem FROM jmem_answers")
    op.execute("GRANT EXECUTE ON FUNCTION jmem.forget_answers() TO jmem_app")
    op.execute("REVOKE jmem_answers FROM CURRENT_USER")
    # a request that was under way when its account was deleted leaves nothing behind
    op.execute("GRANT jmem_lookup TO CURRENT_USER")
    for table in ("answers", "audit"):
        op.execute(f"CREATE TRIGGER refuse_deleted BEFORE INSERT ON jmem.{table}"
                   " FOR EACH ROW EXECUTE FUNCTION jmem.refuse_deleted()")  # fmt: skip
    op.execute("REVOKE jmem_lookup FROM CURRENT_USER")


def downgrade() -> None:
    op.execute("GRANT jmem_answers TO CURRENT_USER")
    op.execute("DROP FUNCTION jmem.forget_answers()")
    op.execute("DROP TABLE jmem.audit")
    op.execute("DROP TABLE jmem.answers")
    op.execute("REVOKE USAGE ON SCHEMA jmem FROM jmem_answers")
    op.execute("REVOKE jmem_answers FROM CURRENT_USER")

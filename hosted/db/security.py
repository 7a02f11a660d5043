"""Row-level security and roles, as migrations apply them: the one place where a table becomes a tenant's.

    jmem_app       what requests run as: sees and writes the rows of the transaction's tenant, deletes none
    jmem_deletion  deletes an account: the rows of one user
    jmem_metrics   counts: columns without anybody's words, of all users

None of them can log in or owns anything. The role that the application logs in with is a member of jmem_app; the other
two it has to take on (SET ROLE), and inherits nothing of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

SCHEMA = "jmem"
ROLES = ("jmem_app", "jmem_deletion", "jmem_metrics")
THE_TENANT = "user_id = (SELECT nullif(current_setting('app.user_id', true), '')::uuid)"
"""Nothing, where no tenant is set: a comparison with null is never true."""


def make_roles() -> Sequence[str]:
    """SQL that makes the roles, which all databases of a cluster share, and lets them into the schema."""
    made = [
        f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        for role in ROLES
    ]
    return [*made, f"GRANT USAGE ON SCHEMA {SCHEMA} TO {', '.join(ROLES)}"]


def admit(login: str) -> Sequence[str]:
    """SQL that lets a role that can log in be the application."""
    name = '"' + login.replace('"', '""') + '"'
    return [
        f"GRANT jmem_app TO {name} WITH INHERIT TRUE",
        f"GRANT jmem_deletion, jmem_metrics TO {name} WITH INHERIT FALSE, SET TRUE",
    ]


def protect(table: str, *, app: str = "SELECT, INSERT, UPDATE", metrics: Sequence[str] = ()) -> Sequence[str]:
    """SQL that makes a table with a `user_id` a tenant's: rights, and row-level security that binds its owner too.

    `metrics` are the columns that may be counted over all users.
    """
    name = f"{SCHEMA}.{table}"
    sql = [
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {name} TO jmem_app USING ({THE_TENANT}) WITH CHECK ({THE_TENANT})",
        f"CREATE POLICY deletion ON {name} TO jmem_deletion USING ({THE_TENANT}) WITH CHECK (false)",
        f"GRANT {app} ON {name} TO jmem_app",
        f"GRANT SELECT, DELETE ON {name} TO jmem_deletion",
    ]
    if metrics:
        sql += [
            f"CREATE POLICY metrics ON {name} FOR SELECT TO jmem_metrics USING (true)",
            f"GRANT SELECT ({', '.join(metrics)}) ON {name} TO jmem_metrics",
        ]
    return sql

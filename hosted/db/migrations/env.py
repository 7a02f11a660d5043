"""Alembic's entry: runs on the connection that `hosted.db.migrate` hands in."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from hosted.db.security import SCHEMA
from hosted.db.tables import metadata

connection = context.config.attributes["connection"]
connection.execute(text("SELECT pg_advisory_xact_lock(5461726)"))  # two replicas that start at once migrate in turn
connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
context.configure(
    connection=connection, target_metadata=metadata, include_schemas=True, version_table_schema=SCHEMA,
)  # fmt: skip
context.run_migrations()

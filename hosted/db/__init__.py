"""Postgres: engine, tables, migrations."""

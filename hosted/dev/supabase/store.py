"""What the double remembers: one SQLite file, or memory."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS signing_keys(kid TEXT PRIMARY KEY, algorithm TEXT, pem TEXT, at REAL);
CREATE TABLE IF NOT EXISTS users(
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE COLLATE NOCASE, password TEXT, confirmed_at REAL, new_email TEXT,
  last_sign_in_at REAL, created_at REAL, updated_at REAL, banned INTEGER DEFAULT 0, app_metadata TEXT DEFAULT '{}',
  user_metadata TEXT DEFAULT '{}');
CREATE TABLE IF NOT EXISTS identities(
  id TEXT PRIMARY KEY, user_id TEXT REFERENCES users ON DELETE CASCADE, provider TEXT, provider_id TEXT, data TEXT,
  created_at REAL, UNIQUE(provider, provider_id));
CREATE TABLE IF NOT EXISTS sessions(
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, method TEXT, client_id TEXT,
  scope TEXT, counter INTEGER DEFAULT 0, created_at REAL, refreshed_at REAL);
CREATE TABLE IF NOT EXISTS refresh_tokens(
  token TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, counter INTEGER);
CREATE TABLE IF NOT EXISTS one_time_tokens(
  token_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, type TEXT, otp TEXT,
  email TEXT, challenge TEXT, method TEXT, at REAL);
CREATE TABLE IF NOT EXISTS flows(
  id TEXT PRIMARY KEY, code TEXT UNIQUE, user_id TEXT REFERENCES users ON DELETE CASCADE, challenge TEXT, method TEXT,
  provider TEXT, redirect_to TEXT, at REAL);
CREATE TABLE IF NOT EXISTS provider_codes(code TEXT PRIMARY KEY, provider TEXT, email TEXT, at REAL);
CREATE TABLE IF NOT EXISTS mails(id INTEGER PRIMARY KEY, at REAL, recipient TEXT, type TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS oauth_clients(
  id TEXT PRIMARY KEY, name TEXT, secret TEXT, redirect_uris TEXT, grant_types TEXT, uri TEXT, logo TEXT,
  registration TEXT, created_at REAL);
CREATE TABLE IF NOT EXISTS oauth_authorizations(
  id TEXT PRIMARY KEY, client_id TEXT REFERENCES oauth_clients ON DELETE CASCADE, user_id TEXT, redirect_uri TEXT,
  scope TEXT, state TEXT, challenge TEXT, method TEXT, resource TEXT, status TEXT, code TEXT UNIQUE, at REAL);
CREATE TABLE IF NOT EXISTS oauth_consents(
  user_id TEXT REFERENCES users ON DELETE CASCADE, client_id TEXT REFERENCES oauth_clients ON DELETE CASCADE,
  scope TEXT, granted_at REAL, PRIMARY KEY(user_id, client_id));
"""


class Store:
    """A thin hold on SQLite: rows as dicts, every statement durable at once.

    The double is asked by one event loop and no handler waits between two statements, so there are no transactions.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._connection.row_factory = _as_dict
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.executescript(SCHEMA)
        self._clock = clock

    def now(self) -> float:
        """Seconds since the epoch by the double's clock."""
        return self._clock()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def run(self, sql: str, *values: Any) -> int:
        """Change something; the number of rows changed."""
        return self._connection.execute(sql, values).rowcount

    def insert(self, table: str, **values: Any) -> None:
        """Add a row."""
        names, places = ",".join(values), ",".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table}({names}) VALUES({places})", tuple(values.values()))

    def update(self, table: str, key: str, **values: Any) -> None:
        """Set columns of the row whose id is `key`."""
        names = ",".join(f"{name}=?" for name in values)
        self._connection.execute(f"UPDATE {table} SET {names} WHERE id=?", (*values.values(), key))

    def one(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row, or None."""
        row: dict[str, Any] | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Every row."""
        return self._connection.execute(sql, values).fetchall()


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

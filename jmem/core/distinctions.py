"""Notes that two memories are no duplicates. Each is about two texts: when one of them changes, it holds no more.

Kept in the store's own `meta`, so that they stay on this machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

_PREFIX = "distinct:"
_BEHIND = "distinct;"
"""What no key with the prefix comes after."""


def note(conn: sqlite3.Connection, a: str, b: str) -> None:
    """Note it of two ids, for the texts that they have now."""
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_key(a, b), _stamps(conn, a, b)))


def drop(conn: sqlite3.Connection, a: str, b: str) -> None:
    """Take the note back, where there is one."""
    conn.execute("DELETE FROM meta WHERE key = ?", (_key(a, b),))


def among(conn: sqlite3.Connection, ids: Collection[str]) -> frozenset[frozenset[str]]:
    """The pairs among `ids` that are noted as no duplicates, while their texts are what they were."""
    noted = conn.execute("SELECT key, value FROM meta WHERE key >= ? AND key < ?", (_PREFIX, _BEHIND))
    found: set[frozenset[str]] = set()
    for key, value in noted.fetchall():
        a, _, b = key.removeprefix(_PREFIX).partition(":")
        if a in ids and b in ids and _stamps(conn, a, b) == value:
            found.add(frozenset((a, b)))
    return frozenset(found)


def _key(a: str, b: str) -> str:
    return _PREFIX + ":".join(sorted((a, b)))


def _stamps(conn: sqlite3.Connection, a: str, b: str) -> str:
    """Which texts two memories have: the stamps of these, which tell nothing of them."""
    found = conn.execute(
        "SELECT json_extract(stamps, '$.content') FROM memories WHERE id IN (?, ?) ORDER BY id", (a, b)
    )
    return " ".join(stamp for (stamp,) in found)

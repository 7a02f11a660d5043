"""What the owner's rules keep on this machine though it is not private, and what of the store would go to an account.

What a rule holds back is marked as it is passed on its way out (`jmem.core.outbox`), and looked at anew whenever the rules, or
what they go by, change.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from jmem.core import origins
from jmem.core.errors import TooLarge
from jmem.core.model import canonical, check_client, check_tags, check_text
from jmem.core.store import Store, Tx
from jmem.core.store.oplog import Sent

_RULES = "sync.rules"
MAX_RULES = 64
MAX_FOLDER_CHARS = 4096
HELD = f"sent = {Sent.HELD:d}"
"""As the partial index `ops_kept` has it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the owner keeps on this machine though it is not private: memories with one of these tags, of one of these
    clients, or from a file below one of these folders, be it the file that was imported or one that `source` names."""

    tags: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    _roots: frozenset[str] = field(init=False, repr=False, compare=False)
    """the folders as they are named, and where their links lead"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_roots", frozenset((*self.folders, *map(os.path.realpath, self.folders))))

    def keep(self, conn: sqlite3.Connection, id: str, tags: str, client: str, source: str | None) -> bool:
        """Whether a memory of the store stays here; `tags` as its row has them."""
        if client in self.clients or (self.tags and not set(self.tags).isdisjoint(json.loads(tags))):
            return True
        if not self._roots:
            return False
        files = (source, origins.of(conn, id))
        return any(_below(file, root) for file in files if file is not None for root in self._roots)

    def as_dict(self) -> dict[str, list[str]]:
        """The shape on HTTP and in the store."""
        return {"tags": list(self.tags), "clients": list(self.clients), "folders": list(self.folders)}


def _below(source: str, folder: str) -> bool:
    path, folder = source.removeprefix("file://"), folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def of(conn: sqlite3.Connection) -> Rules:
    """The rules of a store."""
    found = conn.execute("SELECT value FROM meta WHERE key = ?", (_RULES,)).fetchone()
    named = {} if found is None else json.loads(found[0])
    return Rules(*(tuple(named.get(name, ())) for name in ("tags", "clients", "folders")))


def change(store: Store, rules: Rules) -> None:
    """Change what stays here; what other rules held back is looked at anew. Raises Invalid, TooLarge."""
    if max(len(rules.clients), len(rules.folders)) > MAX_RULES:
        raise TooLarge(f"at most {MAX_RULES} programs and {MAX_RULES} folders are named", limit=MAX_RULES)
    folders = (check_text(folder, "folder", MAX_FOLDER_CHARS) for folder in rules.folders)
    rules = Rules(tuple(check_tags(rules.tags)), tuple(map(check_client, rules.clients)), tuple(folders))

    def run(tx: Tx) -> None:
        tx.set_meta(_RULES, canonical(rules.as_dict()))
        tx.conn.execute(f"UPDATE ops SET sent = ? WHERE {HELD}", (Sent.OFFERED,))

    store.write(run)


def hold_any(conn: sqlite3.Connection) -> bool:
    """Whether a rule holds anything back."""
    return bool(conn.execute(f"SELECT EXISTS (SELECT 1 FROM ops WHERE {HELD})").fetchone()[0])


def release(conn: sqlite3.Connection, id: str) -> bool:
    """What a rule held back of a memory goes too once it no longer applies; whether there was anything."""
    freed = conn.execute("UPDATE ops SET sent = ? WHERE memory_id = ? AND sent = ?", (Sent.OFFERED, id, Sent.HELD))
    return bool(freed.rowcount)


def preview(conn: sqlite3.Connection, samples: int, *, anew: bool) -> dict[str, Any]:
    """What would leave: how many memories, deleted ones apart, the bytes of their texts, how many stay and why, and the
    newest texts of either kind that go. What the account has whole counts
    only with `anew`: it goes to another one."""
    rules = of(conn)
    going: dict[str, list[str]] = {"memories": [], "deleted": []}
    counts = {"memories": 0, "deleted": 0, "local": 0, "held": 0, "bytes": 0}
    for id, content, tags, client, source, privacy, deleted, waits in conn.execute(
        "SELECT id, content, tags, client, source, privacy, deleted,"
        " ? OR EXISTS (SELECT 1 FROM ops o WHERE o.memory_id = m.id AND o.sent <> ?)"
        " FROM memories m ORDER BY created_at DESC, id",
        (anew, Sent.SEEN),
    ):
        if privacy == "local":
            counts["local"] += 1
        elif rules.keep(conn, id, tags, client, source):
            counts["held"] += 1
        elif waits:
            kind = "deleted" if deleted else "memories"
            counts[kind] += 1
            counts["bytes"] += len(content.encode())
            if len(going[kind]) < samples:
                going[kind].append(content[:200])
    return {**counts, "samples": going["memories"], "deleted_samples": going["deleted"]}

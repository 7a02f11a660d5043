"""What the owner's rules keep on this machine though it is not private.

What a rule holds back is marked as it is passed on its way out (`jmem.core.outbox`), and looked at anew whenever the rules, or
what they go by, change.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass, field

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
    """What the owner keeps on this machine though it is not private: memories with one of these tags, however the case of
    its letters, of one of these clients, or from a file below one of these folders, be it one that was imported or one that
    `source` names."""

    tags: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    _roots: frozenset[str] = field(init=False, repr=False, compare=False)
    """the folders as they are named, and where their links lead"""
    _folded: frozenset[str] = field(init=False, repr=False, compare=False)
    """the tags without case: elsewhere `Work` is another tag than `work`, but a rule for privacy errs to the safe side"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_folded", frozenset(map(str.casefold, self.tags)))
        object.__setattr__(self, "_roots", frozenset((*self.folders, *map(os.path.realpath, self.folders))))

    def keep(self, conn: sqlite3.Connection, id: str, tags: str, client: str, source: str | None) -> bool:
        """Whether a memory of the store stays here; `tags` as its row has them."""
        if client in self.clients or (self.tags and any(map(self.names, json.loads(tags)))):
            return True
        if not self._roots:
            return False
        files = (source, *origins.of(conn, id))
        return any(_below(file, root) for file in files if file for root in self._roots)

    def names(self, tag: str) -> bool:
        """Whether what has this tag stays here."""
        return tag.casefold() in self._folded

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


def kept_now(conn: sqlite3.Connection) -> list[str]:
    """The ids of memories that the rules keep here, private ones left out. Looks at those alone that a rule may be about."""
    rules = of(conn)
    used = conn.execute("SELECT DISTINCT tag FROM memory_tags") if rules.tags else ()
    tags = [tag for (tag,) in used if rules.names(tag)]
    may = [
        (tags, "rowid IN (SELECT rowid FROM memory_tags WHERE tag IN (SELECT value FROM json_each(:tags)))"),
        (rules.clients, "client IN (SELECT value FROM json_each(:clients))"),
        (rules.folders, "source IS NOT NULL OR id IN (SELECT id FROM origins)"),
    ]
    conditions = " OR ".join(condition for named, condition in may if named) or "0"
    found = conn.execute(
        f"SELECT id, tags, client, source FROM memories WHERE privacy <> 'local' AND ({conditions})",
        {"tags": json.dumps(tags), "clients": json.dumps(rules.clients)},
    ).fetchall()
    return [id for id, tags, client, source in found if rules.keep(conn, id, tags, client, source)]

"""Ids as people type them: any unique part, found by index when it is a prefix or a suffix."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence

from jmem.core.actor import Actor
from jmem.core.errors import Ambiguous, Invalid, NotFound
from jmem.core.filter import Filter
from jmem.core.model import is_id
from jmem.core.store import oplog
from jmem.core.store.rows import reverse_id

MIN_PART = 4
MIN_SHORT = 6
MAX_CANDIDATES = 10
PREVIEW_CHARS = 80
_PART = re.compile(r"[0-9a-f-]{4,36}")


def preview(content: str, limit: int = PREVIEW_CHARS) -> str:
    """The beginning of a text on one line, of at most `limit` characters."""
    line = " ".join(content[: limit * 4].split())
    return line if len(line) <= limit and len(content) <= limit * 4 else line[: limit - 1].rstrip() + "…"


def resolve(conn: sqlite3.Connection, part: str, actor: Actor, *, deleted: bool = False) -> str:
    """The whole id of the one memory that the actor sees and `part` fits.

    `deleted` lets deleted ones be found as well as live ones. Raises Invalid (not a part of an id),
    NotFound (with `deleted` true in its detail when a deleted memory fits), Ambiguous with `candidates`.
    """
    found = _search(conn, _clean(part), actor)
    fitting = [row for row in found if deleted or not row[1]]
    if len(fitting) == 1:
        return str(fitting[0][0])
    if fitting:
        candidates = [
            {"id": id, "preview": preview(content) if actor.read else ""} for id, _, content in fitting[:MAX_CANDIDATES]
        ]
        raise Ambiguous(f"{part!r} fits {_count(len(fitting))} memories", candidates=candidates,
                        fix="give more characters of the id")  # fmt: skip
    raise missing(conn, part, found)


def missing(conn: sqlite3.Connection, part: str, found: Sequence[tuple[str, int, str]] = ()) -> NotFound:
    """The NotFound for an id, saying whether it was deleted or forgotten for ever."""
    if found:
        return NotFound(f"memory {found[0][0]} was deleted", id=found[0][0], deleted=True,
                        fix=f"jmem restore {found[0][0]}")  # fmt: skip
    if new := oplog.moved_to(conn, part):
        return NotFound(f"memory {part} was forgotten when its privacy changed; it is {new} now", id=part, purged=True,
                        replaced_by=new, fix=f"jmem show {new}")  # fmt: skip
    if conn.execute("SELECT 1 FROM purged WHERE id = ?", (part,)).fetchone():
        return NotFound(f"memory {part} was forgotten for ever", id=part, purged=True)
    return NotFound(f"no memory has the id {part!r}", id=part, fix="jmem list   shows the ids")


def _count(n: int) -> str:
    return f"more than {MAX_CANDIDATES}" if n > MAX_CANDIDATES else str(n)


def _clean(part: str) -> str:
    text = part.strip().lower() if isinstance(part, str) else ""
    if not _PART.fullmatch(text) or len(text.replace("-", "")) < MIN_PART:
        raise Invalid(f"{str(part)[:40]!r} is not an id or a part of one of at least {MIN_PART} characters",
                      field="id", fix="jmem list   shows the ids")  # fmt: skip
    return text


def _search(conn: sqlite3.Connection, part: str, actor: Actor) -> list[tuple[str, int, str]]:
    scope, params = actor.narrow(Filter(states=())).scope()
    select = f"SELECT m.id, m.deleted, substr(m.content, 1, 400) FROM memories m WHERE {{}} AND {scope} LIMIT 50"
    if is_id(part):
        return conn.execute(select.format("m.id = ?"), (part, *params)).fetchall()
    backwards = reverse_id(part)
    either = "m.rowid IN (SELECT rowid FROM memories WHERE id >= ? AND id < ?" \
             " UNION SELECT rowid FROM memories WHERE id_reversed >= ? AND id_reversed < ?)"  # fmt: skip
    found = conn.execute(
        select.format(either), (part, part + "g", backwards, backwards + "g", *params)
    ).fetchall()  # "g" sorts after every hex digit and the dash
    if found:
        return found
    if "-" not in part:
        return conn.execute(select.format("instr(replace(m.id, '-', ''), ?)"), (part, *params)).fetchall()
    return conn.execute(select.format("instr(m.id, ?)"), (part, *params)).fetchall()


def short_ids(conn: sqlite3.Connection, ids: Iterable[str]) -> dict[str, str]:
    """id -> the shortest suffix of at least 6 characters that no other memory's id ends with."""
    short: dict[str, str] = {}
    for id in ids:
        backwards = reverse_id(id)
        length = MIN_SHORT
        while length < len(backwards):
            stem = backwards[:length]
            rows = conn.execute(
                "SELECT 1 FROM memories WHERE id_reversed >= ? AND id_reversed < ? LIMIT 2", (stem, stem + "g")
            ).fetchall()
            if len(rows) < 2:
                break
            length += 1
        short[id] = backwards[:length][::-1]
    return short

"""The stores: integrity, the op log and what it adds up to, the full-text index, the clock, the backups.

Everything is read from a consistent copy, so that a daemon at work is neither disturbed nor misjudged.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.check.process import alone, answers, ask
from daemon.files import read_json
from jmem.core import merge
from jmem.core.backup import write_backup
from jmem.core.clock import stamp_ms, wall_ms
from jmem.core.errors import JmemError
from jmem.core.finding import Check, Finding
from jmem.core.lost import lost
from jmem.core.model import Op
from jmem.core.opcheck import is_blank
from jmem.core.settings import Settings
from jmem.core.store import MEMORY_COLUMNS, Store, fts, row_memory
from jmem.core.store.migrate import schema_version
from jmem.core.store.schema import MIGRATIONS
from jmem.core.store.store import DATABASE

IN_MEMORY = 256 << 20
FUTURE_MS = 3_600_000
OLD_BACKUP_S = 2 * 86_400
_SHOWN = 3


@dataclass(frozen=True)
class Home:
    """One user's folder."""

    name: str
    folder: Path
    home: Path

    @property
    def label(self) -> str:
        """Goes before a message where there are several users."""
        return "" if self.name == "default" else f"{self.name}: "


def users_of(home: Path) -> list[Home]:
    """The users that the home has; raises StorageFailed when users.json is damaged."""
    known = read_json(home / "users.json") or {}
    return [Home(name, home / "users" / str(id), home) for name, id in sorted(known.items())]


def store_checks(settings: Settings) -> Iterator[Check]:
    """The checks of every user's store."""
    try:
        users = users_of(settings.home)
    except JmemError as error:
        bad = Finding("users", "fail", error.message, f"restore {settings.home / 'users.json'} from a backup")
        yield lambda: [bad]
        return
    for user in users:
        yield lambda user=user: _lost(user)  # type: ignore[misc]
        if (user.folder / DATABASE).exists():
            yield lambda user=user: check_store(user)  # type: ignore[misc]
            yield lambda user=user: _backups(settings, user)  # type: ignore[misc]


def _lost(user: Home) -> Iterator[Finding]:
    """Whether the store is another one than its backups, or the files beside it, are of."""
    path = user.folder / DATABASE
    try:
        with copy_of(path) if path.exists() else contextlib.nullcontext() as conn:
            found = lost(user.folder, conn if conn is not None and schema_version(conn) else None)
    except sqlite3.Error:
        return  # the check of the store says why it can't be read
    if found:
        yield Finding("lost", "warn", f"{user.label}{found.reason}", found.fix)


@contextlib.contextmanager
def copy_of(path: Path) -> Iterator[sqlite3.Connection]:
    """A consistent private copy of a database, in memory when it is small; raises sqlite3.Error."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))
        )
        source.execute("PRAGMA busy_timeout = 5000")
        target = ":memory:"
        if path.stat().st_size > IN_MEMORY:
            target = str(Path(stack.enter_context(tempfile.TemporaryDirectory(dir=path.parent))) / "copy.db")
        copy = stack.enter_context(contextlib.closing(sqlite3.connect(target, isolation_level=None)))
        source.backup(copy)
        yield copy


def check_store(user: Home) -> Iterator[Finding]:
    """One store, from the file up."""
    path = user.folder / DATABASE
    restore = "jmem backup restore"
    try:
        with copy_of(path) as conn:
            version = schema_version(conn)
            if version > len(MIGRATIONS):
                yield Finding(
                    "store",
                    "fail",
                    f"{user.label}written by a newer jmem (schema {version})",
                    "./install.sh   of the newest version",
                )
                return
            if version == 0:
                return
            verdict = [row[0] for row in conn.execute("PRAGMA integrity_check(5)")]
            if verdict != ["ok"]:
                yield Finding("store", "fail", f"{user.label}{path} is damaged: {'; '.join(verdict)[:300]}", restore)
                return
            yield from _log_and_rows(user, conn)
            yield from _full_text(user, conn)
            yield from _clock(user, conn)
    except sqlite3.Error as error:
        yield Finding("store", "fail", f"{user.label}{path} can't be read: {error}", restore)


def _log_and_rows(user: Home, conn: sqlite3.Connection) -> Iterator[Finding]:
    ops: dict[str, list[Op]] = defaultdict(list)
    altered = []
    for stamp, memory_id, payload, digest in conn.execute("SELECT stamp, memory_id, payload, digest FROM ops"):
        try:
            op = Op.parse(payload)
            sound = (op.stamp, op.id, op.digest) == (stamp, memory_id, digest) and (
                is_blank(op) or op.sealed().digest == digest
            )
        except JmemError:
            sound = False
        if sound:
            ops[memory_id].append(op)
        else:
            altered.append(stamp)
    if altered:
        yield Finding(
            "ops",
            "fail",
            f"{user.label}{len(altered)} entries of the op log are altered, as {altered[0]}",
            "jmem backup restore",
        )
        return
    count = sum(map(len, ops.values()))
    yield Finding("ops", "ok", f"{user.label}{count} changes, each as it was sealed")
    wrong = _differing(conn, ops)
    if wrong:
        yield Finding(
            "rows",
            "fail",
            f"{user.label}{len(wrong)} memories are not what the op log adds up to, as {', '.join(sorted(wrong)[:_SHOWN])}",
            "jmem doctor --fix",
            lambda: _with_store(
                user, lambda store: f"{user.label}{store.rebuild_rows()} memories made anew from the op log"
            ),
        )
    else:
        live = conn.execute("SELECT COUNT(*) FROM memories WHERE deleted = 0").fetchone()[0]
        yield Finding("rows", "ok", f"{user.label}{live} memories, as the op log says")


def _differing(conn: sqlite3.Connection, ops: dict[str, list[Op]]) -> set[str]:
    """Ids whose row, tags or purge differ from the fold of their ops."""
    purged = {id for (id,) in conn.execute("SELECT id FROM purged")}
    tags: dict[int, set[str]] = defaultdict(set)
    for tag, rowid in conn.execute("SELECT tag, rowid FROM memory_tags"):
        tags[rowid].add(tag)
    rows: dict[str, Any] = {}
    wrong = set()
    for row in conn.execute(f"SELECT {MEMORY_COLUMNS}, m.rowid FROM memories m"):
        memory = row_memory(row)
        rows[memory.id] = memory
        if tags.pop(row[-1], set()) != set(memory.tags):
            wrong.add(memory.id)
    for id, own in ops.items():
        folded = merge.fold(own)
        expected = None if id in purged else merge.memory(id, folded.registers)
        if rows.pop(id, None) != expected or (folded.purged and id not in purged):
            wrong.add(id)
    return wrong | set(rows) | ({"tags"} if tags else set())


def _full_text(user: Home, conn: sqlite3.Connection) -> Iterator[Finding]:
    problems = fts.check(conn)
    if problems:
        yield Finding(
            "fulltext",
            "fail",
            f"{user.label}{'; '.join(problems)}",
            "jmem doctor --fix",
            lambda: _with_store(user, lambda store: f"{user.label}{store.rebuild_fts()} entries written anew"),
        )
    else:
        yield Finding("fulltext", "ok", f"{user.label}every memory has its entry")


def _clock(user: Home, conn: sqlite3.Connection) -> Iterator[Finding]:
    last = conn.execute("SELECT MAX(stamp) FROM ops").fetchone()[0]
    ahead = stamp_ms(last) - wall_ms() if last else 0
    if ahead > FUTURE_MS:
        hours = ahead / 3_600_000
        yield Finding(
            "clock",
            "warn",
            f"{user.label}the newest change is {hours:.0f} h in the future: this clock, or another machine's, is or was wrong",
            "set the clock right; nothing is lost",
        )
    else:
        yield Finding("clock", "ok", f"{user.label}no change is in the future")


def _backups(settings: Settings, user: Home) -> Iterator[Finding]:
    if not settings["backup.keep"]:
        yield Finding("backups", "warn", f"{user.label}daily backups are off", "jmem config set backup.keep 7")
        return
    changed = (user.folder / DATABASE).stat().st_mtime
    made = [file.stat().st_mtime for file in (user.folder / "backups").glob("*.db")]
    newest = max(made, default=0.0)
    age = time.time() - newest
    # The first day has none yet, and what has not changed since needs none.
    first = (
        time.time()
        - (user.folder / "clients.json" if (user.folder / "clients.json").exists() else user.folder).stat().st_ctime
    )
    if age > OLD_BACKUP_S and changed > newest and (made or first > OLD_BACKUP_S):
        said = f"the newest is {age / 86_400:.0f} days old" if made else "there is none"
        yield Finding("backups", "warn", f"{user.label}{said}", "jmem backup", lambda: _back_up(user))
    else:
        yield Finding(
            "backups", "ok", f"{user.label}{len(made)} kept" + (f", the newest {age / 3600:.0f} h old" if made else "")
        )


def _back_up(user: Home) -> str:
    if answers(user.home):
        made = ask(user.home, "POST", "/api/v1/backup", {}, user=user.name, timeout=600)
        return f"wrote {made['path']}"
    with alone(user.home):
        return f"wrote {write_backup(user.folder, 'manual').path}"


def _with_store(user: Home, work: Any) -> str:
    """Run `work(store)` with the daemon stopped and the store to itself."""
    with alone(user.home), Store.open(user.folder) as store:
        return str(work(store))

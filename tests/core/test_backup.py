"""Backups are whole and verified; a restore leaves the old store or the new one, whatever stops it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jmem.core import backup, outbox
from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.backup import DAY_MS, backups, created_ms, daily_due, is_backed_up, prune, verify, write_backup
from jmem.core.clock import wall_ms
from jmem.core.drafts import Draft
from jmem.core.errors import Invalid, JmemError, NotFound, StorageFailed
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.model import now_iso
from jmem.core.portable.exporting import export_jsonl
from jmem.core.restore import find_backup, prove, restore
from jmem.core.service import MemoryService
from jmem.core.store import Store

OWNER = Actor("cli")


class Home:
    """One user's folder with its service, which can be closed and opened like the daemon does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self) -> MemoryService:
        self.service = MemoryService(Store.open(self.folder), AccessLog(self.folder))
        return self.service

    def close(self) -> None:
        self.service.store.close()
        self.service.access.close()

    def alone(self, work: Callable[[], Path | None]) -> Path | None:
        self.close()
        try:
            return work()
        finally:
            self.open()

    def contents(self) -> list[str]:
        return [m.content for m in self.service.list(Filter(), OWNER, limit=1000, sort="created").memories]

    def everything(self) -> list[str]:
        return list(export_jsonl(self.service.store, EVERYTHING, now_iso()))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "user")
    for text in ("one", "two", "three"):
        made.service.add(Draft(text, thread="t"), OWNER)
    yield made
    made.close()


# ---- making -----------------------------------------------------------------------------------


def test_a_backup_is_a_private_verified_whole(home: Home) -> None:
    made = write_backup(home.folder, "manual")
    assert made.memories == 3
    assert made.path.parent == home.folder / "backups"
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert verify(made.path) == prove(made.path) == 3
    assert [p.name for p in made.path.parent.iterdir()] == [made.path.name]
    with Store.open(_as_store(made.path, home.folder.parent / "copy")) as store:
        assert list(export_jsonl(store, EVERYTHING, now_iso())) == home.everything()


def _as_store(copy: Path, folder: Path) -> Path:
    folder.mkdir()
    shutil.copyfile(copy, folder / "memories.db")
    return folder


def test_a_backup_is_one_moment_while_writers_go_on(home: Home) -> None:
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            home.service.add_many([Draft(f"{n} left"), Draft(f"{n} right")], OWNER)
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [write_backup(home.folder, "manual") for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    counts = [one.memories for one in made]
    assert counts == sorted(counts)
    assert all(count % 2 == 1 for count in counts)  # three and then pairs: never half of a commit
    assert len({one.path for one in made}) == 5


def test_names_tell_kind_and_time_and_only_daily_ones_are_removed(home: Home) -> None:
    folder = home.folder / "backups"
    folder.mkdir()
    for day in range(1, 11):
        (folder / f"memories-202611{day:02d}T120000Z-daily.db").touch()
    for name in ("memories-20261101T000000Z-manual.db", "memories-20261101T000000Z-restore-2.db", "before-schema-2.db"):
        (folder / name).touch()
    (folder / "mine.db").touch()
    removed = prune(home.folder, 7)
    assert sorted(p.name[9:17] for p in removed) == ["20261101", "20261102", "20261103"]
    kinds = [b.kind for b in backups(home.folder)]
    assert sorted(kinds) == ["daily"] * 7 + ["manual", "migration", "restore"]
    assert (folder / "mine.db").exists()


def test_a_failed_backup_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise backup.bad_copy("on purpose")

    monkeypatch.setattr(backup, "verify", fail)
    with pytest.raises(StorageFailed):
        write_backup(home.folder, "manual")
    assert list((home.folder / "backups").iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(conn: sqlite3.Connection, target: Path) -> int:
        target.parent.mkdir()
        target.write_bytes(b"half")
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(backup, "copy_database", full)
    with pytest.raises(StorageFailed) as caught:
        write_backup(home.folder, "manual")
    assert caught.value.code == "disk_full"
    assert list((home.folder / "backups").iterdir()) == []


def test_what_a_crash_left_is_cleaned(home: Home) -> None:
    folder = home.folder / "backups"
    folder.mkdir()
    (folder / ".memories-20261101T000000Z-daily.db").touch()
    (folder / ".memories-20261101T000000Z-daily.db.part").touch()
    (home.folder / ".restoring-abc").mkdir()
    (home.folder / ".restoring-abc" / "memories.db").touch()
    made = write_backup(home.folder, "manual")
    assert [p.name for p in folder.iterdir()] == [made.path.name]
    assert not (home.folder / ".restoring-abc").exists()


# ---- daily ------------------------------------------------------------------------------------


def test_the_next_daily_backup_follows_from_the_newest(home: Home) -> None:
    now = wall_ms()
    first = daily_due(home.folder, now)
    assert first is not None
    assert abs(first - now - DAY_MS) < 60_000
    assert not is_backed_up(home.folder)
    made = write_backup(home.folder, "daily")
    assert is_backed_up(home.folder)
    home.service.add(Draft("four"), OWNER)
    assert not is_backed_up(home.folder)
    assert daily_due(home.folder, wall_ms()) == created_ms(made.path) + DAY_MS
    write_backup(home.folder, "manual")  # not a daily one
    assert daily_due(home.folder, wall_ms()) == created_ms(made.path) + DAY_MS
    # the clock was set back by a year: the wait is a day, not a year
    long_ago = wall_ms() - 365 * DAY_MS
    assert daily_due(home.folder, long_ago) == long_ago + DAY_MS
    # or forward: it is overdue
    ahead = daily_due(home.folder, wall_ms() + 365 * DAY_MS)
    assert ahead is not None
    assert ahead < wall_ms() + 365 * DAY_MS


def test_an_empty_store_asks_for_no_backup(tmp_path: Path) -> None:
    assert daily_due(tmp_path, wall_ms()) is None
    with Store.open(tmp_path):
        assert daily_due(tmp_path, wall_ms()) is None


# ---- restoring --------------------------------------------------------------------------------


def test_a_restore_brings_the_copy_back_and_keeps_what_was_there(home: Home) -> None:
    old_device = outbox.part(home.service.store)
    made = write_backup(home.folder, "manual")
    before, old_id = home.everything(), home.service.store.store_id
    home.service.add(Draft("later"), OWNER)
    home.service.delete(home.service.list(Filter(), OWNER).memories[-1].id, OWNER)
    later = home.everything()
    done = restore(home.folder, find_backup(home.folder, made.path.name), home.alone)
    assert home.everything() == before
    assert (done.memories, done.ops, done.purged_again) == (3, 3, 0)
    assert home.service.store.store_id not in (old_id, old_device)
    assert outbox.device(home.service.store) == home.service.store.store_id, (
        "a copy is another machine than its original"
    )
    assert home.service.add(Draft("goes on"), OWNER).memory.content == "goes on"
    assert done.replaced is not None
    restore(home.folder, done.replaced, home.alone)
    assert home.everything() == later
    assert not list(home.folder.glob(".restoring-*"))


def test_what_was_purged_stays_purged(home: Home) -> None:
    secret = home.service.add(Draft("Xylophone-Quagmire"), OWNER).memory.id
    made = write_backup(home.folder, "manual")
    home.service.purge(secret, OWNER)
    assert restore(home.folder, made.path, home.alone).purged_again == 1
    assert "Xylophone-Quagmire" not in home.contents()
    with pytest.raises(NotFound) as caught:
        home.service.get(secret, OWNER, deleted=True)
    assert caught.value.detail.get("purged") is True
    home.close()
    raw = b"".join(p.read_bytes() for p in home.folder.glob("memories.db*"))
    assert b"ylophone" not in raw.lower()
    home.open()


def test_a_backup_of_another_folder_and_a_live_store_can_be_restored(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.service.add(Draft("from the other machine"), OWNER)
    restore(home.folder, find_backup(home.folder, str(other.folder / "memories.db")), home.alone)
    assert home.contents() == ["from the other machine"]
    other.close()


def _corrupt_page(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(4096))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        conn = sqlite3.connect(path, isolation_level=None)
        conn.execute(statement)
        conn.close()

    return change


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (_corrupt_page, "damaged"), (_truncate, "damaged"), (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"not a database at all" * 500), "damaged"),
        (_sql("UPDATE ops SET payload = replace(payload, 'one', 'uno')"), "damaged"),
        (_sql("UPDATE ops SET digest = 'sha256:00'"), "damaged"),
        (_sql("UPDATE memories SET content = 'forged' WHERE content = 'two'"), "damaged"),
        (_sql("DELETE FROM ops WHERE seq = 2"), "damaged"), (_sql("DELETE FROM memories WHERE content = 'two'"), "damaged"),
        (_sql("UPDATE ops SET memory_id = (SELECT memory_id FROM ops WHERE seq = 1) WHERE seq = 2"), "damaged"),
        (_sql("DROP TABLE ops"), "damaged"), (_sql("PRAGMA user_version = 999"), "newer_store"),
        (_sql("PRAGMA user_version = 0"), "damaged"),
    ],
)  # fmt: skip
def test_a_bad_copy_changes_nothing(home: Home, harm: Callable[[Path], None], code: str) -> None:
    made = write_backup(home.folder, "manual")
    home.service.add(Draft("later"), OWNER)
    harm(made.path)
    before, store_id = home.everything(), home.service.store.store_id

    def alone(work: Callable[[], Path | None]) -> Path | None:
        raise AssertionError("a bad copy never closes the store")

    with pytest.raises(StorageFailed) as caught:
        restore(home.folder, made.path, alone)
    assert caught.value.code == code
    assert home.everything() == before
    assert home.service.store.store_id == store_id
    assert [b.kind for b in backups(home.folder)] == ["manual"]
    assert not list(home.folder.glob(".restoring-*"))


def test_a_damaged_store_is_kept_byte_by_byte_and_replaced(home: Home) -> None:
    made = write_backup(home.folder, "manual")
    home.close()
    _corrupt_page(home.folder / "memories.db")
    harmed = (home.folder / "memories.db").read_bytes()
    done = restore(home.folder, made.path, lambda work: work())
    home.open()
    assert home.contents() == ["one", "two", "three"]
    assert done.replaced is not None
    assert "-damaged" in done.replaced.name
    assert done.replaced.read_bytes() == harmed


def test_the_log_of_a_lost_store_does_not_get_into_the_restored_one(home: Home, tmp_path: Path) -> None:
    made = write_backup(home.folder, "manual")
    for n in range(40):
        home.service.add(Draft(f"after the backup {n}"), OWNER)
    killed = tmp_path / "killed"
    shutil.copytree(home.folder, killed)  # with its log, as a killed daemon leaves it
    assert (killed / "memories.db-wal").stat().st_size > 0
    (killed / "memories.db").unlink()
    restore(killed, killed / "backups" / made.path.name, lambda work: work())
    assert prove(killed / "memories.db") == 3
    again = Home(killed)
    assert again.contents() == ["one", "two", "three"]
    again.close()


def test_a_store_whose_log_can_not_be_moved_into_it_is_not_replaced(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jmem.core import restore as module

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            if "wal_checkpoint" in sql:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return super().execute(sql, *args)

    made = write_backup(home.folder, "manual")
    home.service.add(Draft("later"), OWNER)
    before, settle = home.everything(), module._settle

    def failing(path: Path) -> None:
        connect = sqlite3.connect
        with monkeypatch.context() as patch:
            if path.parent == home.folder:
                patch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=Failing))
            settle(path)

    monkeypatch.setattr(module, "_settle", failing)
    with pytest.raises(StorageFailed):
        restore(home.folder, made.path, home.alone)
    assert home.everything() == before


def test_names_that_are_no_backups_are_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        find_backup(home.folder, "memories-20200101T000000Z-daily.db")
    with pytest.raises(Invalid):
        find_backup(home.folder, str(home.folder / "memories.db"))


def test_an_older_schema_is_migrated_in_the_copy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from jmem.core.store import migrate as migrating
    from jmem.core.store.schema import MIGRATIONS, Migration

    made = write_backup(home.folder, "manual")
    newer = (*MIGRATIONS, Migration(("CREATE TABLE later (x)",), changes_data=True))
    for module in (backup, migrating):
        monkeypatch.setattr(module, "MIGRATIONS", newer)
    monkeypatch.setattr(migrating.migrate, "__defaults__", (newer,))
    restore(home.folder, made.path, home.alone)
    with home.service.store.reader() as conn:
        assert conn.execute("SELECT COUNT(*) FROM later").fetchone() == (0,)
    assert home.contents() == ["one", "two", "three"]


# ---- crashes ----------------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from pathlib import Path
from jmem.core import restore as module

folder, source, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "sqlite3.connect", "shutil.rmtree",
          "shutil.copyfile", "tempfile.mkdtemp", "os.listdir", "os.scandir"}
count = 0

def hook(event, args):
    global count
    if event in EVENTS:
        count += 1
        if count == limit:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
module.restore(folder, source, lambda work: work())
print(count)
"""


def _run_restore(folder: Path, source: Path, limit: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _KILLED, str(folder), str(source), str(limit)], text=True, capture_output=True, timeout=60)  # fmt: skip


def test_kill_at_any_step_leaves_the_old_store_or_the_new(tmp_path: Path) -> None:
    """The audit hook sees every file that is opened, renamed or removed: each is a step to die at."""
    home = Home(tmp_path / "user")
    for n in range(20):
        home.service.add(Draft(f"kept {n}"), OWNER)
    gone = home.service.add(Draft("to be purged"), OWNER).memory.id
    source = write_backup(home.folder, "manual").path
    new = [m for m in home.everything() if gone not in m]
    home.service.purge(gone, OWNER)
    home.service.add(Draft("only in the old one"), OWNER)
    old = home.everything()
    template = tmp_path / "template"
    shutil.copytree(home.folder, template)  # with what is in the log only, as a killed daemon leaves it
    assert (template / "memories.db-wal").stat().st_size > 0
    home.close()

    def attempt(limit: int) -> tuple[int | None, str]:
        folder = tmp_path / f"at-{limit}"
        shutil.copytree(template, folder)
        done = _run_restore(folder, folder / "backups" / source.name, limit)
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0, done.stderr
        again = Home(folder)
        again.service.replay_purges()
        found = again.everything()
        is_old = found == old
        assert is_old or [line for line in found if gone not in line] == new, f"step {limit} left something else"
        assert "to be purged" not in "".join(found)
        if not is_old:
            kept = [b for b in backups(folder) if b.kind == "restore"]
            assert len(kept) == 1
            assert verify(kept[0].path) == len([op for line in old for op in json.loads(line)["ops"]])
        again.close()
        write_backup(folder, "manual")
        assert not list(folder.glob(".restoring-*"))
        shutil.rmtree(folder)
        return (None if killed else int(done.stdout)), "old" if is_old else "new"

    steps, outcome = attempt(10**9)
    assert outcome == "new"
    assert steps is not None
    limits = {*range(1, steps, max(1, steps // 12)), *range(steps - 12, steps + 1)}  # the swap is near the end
    outcomes = [attempt(limit)[1] for limit in sorted(limits)]
    assert outcomes == sorted(outcomes, reverse=True)  # old up to one step, new from there on
    assert set(outcomes) == {"old", "new"}


def test_an_error_while_the_store_is_closed_changes_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from jmem.core import restore as module

    made = write_backup(home.folder, "manual")
    home.service.add(Draft("later"), OWNER)
    before = home.everything()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("_keep_present", "_swap"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(JmemError):
                restore(home.folder, made.path, home.alone)
        assert home.everything() == before

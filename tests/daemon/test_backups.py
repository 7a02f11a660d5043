"""Backups by the daemon: on request, daily by itself, and restored under the eyes of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.home import Api, Home, wait_for
from daemon import backups as module
from daemon.backups import DailyBackups
from jmem.core import foreign
from jmem.core.backup import DAY_MS, backups
from jmem.core.clock import wall_ms
from jmem.core.model import Op, new_id, new_nonce
from jmem.core.store import Store


@pytest.fixture
def other(daemon: Home, request: pytest.FixtureRequest) -> Iterator[Api]:
    """A user of the test's own on the module's daemon."""
    with contextlib.closing(daemon.api(user=f"user of {request.node.name}"[:60])) as made:
        yield made


def contents(api: Api) -> list[str]:
    return sorted(m["content"] for m in api.every())


def test_backup_and_restore_over_http(other: Api) -> None:
    other.add("I prefer aisle seats")
    made = other.must("POST", "/backup", {})
    assert (made["memories"], made["verified"], made["kind"]) == (1, True, "manual")
    assert Path(made["path"]).stat().st_size == made["bytes"]
    other.add("Later")
    done = other.must("POST", "/backup/restore", {"path": made["name"]})
    assert (done["memories"], done["purged_again"]) == (1, 0)
    assert contents(other) == ["I prefer aisle seats"]
    listed = other.must("GET", "/backups")
    assert [b["kind"] for b in listed["backups"]] == ["restore", "manual"]
    found = wait_for(lambda: other.search("which seat should I book", mode="vector")["results"], 30, "the index of the new store")  # fmt: skip
    assert found[0]["content"] == "I prefer aisle seats"
    other.add("It goes on")
    other.must("POST", "/backup/restore", {"path": done["replaced"]})
    assert contents(other) == ["I prefer aisle seats", "Later"]


def test_bad_copies_and_names_change_nothing(other: Api, tmp_path: Path) -> None:
    other.add("Stays")
    made = other.must("POST", "/backup", {})
    bad = tmp_path / "bad.db"
    bad.write_bytes(Path(made["path"]).read_bytes())
    conn = sqlite3.connect(bad, isolation_level=None)
    conn.execute("UPDATE memories SET content = 'Forged'")
    conn.close()
    answer = other.call("POST", "/api/v1/backup/restore", {"path": str(bad)})
    assert (answer.status, answer.body["code"]) == (507, "damaged")
    answer = other.call("POST", "/api/v1/backup/restore", {"path": "memories-20200101T000000Z-daily.db"})
    assert (answer.status, answer.body["code"]) == (404, "no_backup")
    assert other.call("POST", "/api/v1/backup/restore", {}).status == 422
    assert contents(other) == ["Stays"]


def test_a_token_restores_its_own_backups_only(daemon: Home, other: Api) -> None:
    """A path could lead to what another user remembers: into their folder, or to a file that the daemon has open."""
    other.add("of somebody else")
    theirs = other.must("POST", "/backup", {})["path"]
    with contextlib.closing(daemon.api()) as own, contextlib.closing(daemon.tcp()) as tcp:
        own.add("of the token's user")
        made = own.must("POST", "/backup", {})
        link = Path("..", "..", *Path(theirs).parts[-3:])
        for path in (theirs, str(link), "/etc/passwd", "/proc/self/fd/9"):
            answer = tcp.call("POST", "/api/v1/backup/restore", {"path": path})
            assert (answer.status, answer.body["code"]) == (404, "no_backup"), path
        for path in (made["name"], made["path"]):
            assert tcp.must("POST", "/backup/restore", {"path": path})["memories"] == made["memories"]


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-that-name/x", "\0"])
def test_a_name_no_file_can_have_is_no_backup(other: Api, name: str) -> None:
    other.add("Stays")
    answer = other.call("POST", "/api/v1/backup/restore", {"path": name})
    assert (answer.status, answer.body["code"]) == (404, "no_backup")


def test_no_write_is_lost_while_a_backup_is_restored(daemon: Home, other: Api) -> None:
    """Whatever was acknowledged is in the store that was replaced (and kept) or in the one that replaced it."""
    other.add("at the start")
    made = other.must("POST", "/backup", {})
    user, acknowledged, stop = other._headers["X-Jmem-User"], list[str](), threading.Event()

    def write(number: int) -> None:
        with contextlib.closing(daemon.api(user=user)) as api:
            n = 0
            while not stop.is_set():
                text = f"writer {number} wrote {n}"
                answer = api.call("POST", "/api/v1/memories", {"content": text})
                assert answer.ok or answer.body["code"] == "closed", answer.body
                if answer.ok:
                    acknowledged.append(text)
                n += 1

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    wait_for(lambda: len(acknowledged) > 30, 30, "writers at work")
    done = other.must("POST", "/backup/restore", {"path": made["name"]})
    count = len(acknowledged)
    wait_for(lambda: len(acknowledged) > count + 30, 30, "writers at work again")
    stop.set()
    for writer in writers:
        writer.join()
    conn = sqlite3.connect(done["replaced"])
    kept = {content for (content,) in conn.execute("SELECT content FROM memories")}
    conn.close()
    assert set(acknowledged) <= kept | set(contents(other))


def test_a_store_that_cannot_be_opened_is_restored(home: Home) -> None:
    home.jmem("add", "I prefer aisle seats")
    made = home.json("backup")
    home.stop()
    store = Path(made["path"]).parent.parent / "memories.db"
    store.write_bytes(b"ruined " * 5000)
    home.start()
    with contextlib.closing(home.api()) as api:
        assert api.call("GET", "/api/v1/memories").body["code"] == "damaged"
        assert [b["kind"] for b in api.must("GET", "/backups")["backups"]] == ["manual"]
        done = api.must("POST", "/backup/restore", {"path": made["name"]})
        assert "-damaged" in done["replaced"]
        assert contents(api) == ["I prefer aisle seats"]


# ---- daily ------------------------------------------------------------------------------------


def old_line(days: float) -> dict[str, Any]:
    """A whole export line of a memory that is `days` old."""
    ms = wall_ms() - int(days * DAY_MS)
    op = Op(f"{ms:012x}-0000-a1b2c3d4", new_id(), {"content": f"{days} days old"}, (), "cli", new_nonce()).sealed()
    return {"id": op.id, "ops": [json.loads(op.text())]}


def test_the_daemon_backs_up_by_itself(home: Home) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        api.must("POST", "/import", {"items": [old_line(2)]})
        listed = wait_for(lambda: api.must("GET", "/backups")["backups"], 20, "the daily backup")
        assert [b["kind"] for b in listed] == ["daily"]
        assert listed[0]["memories"] == 1
        assert wait_for(lambda: api.must("GET", "/backups")["next"], 5, "the next one's time") > listed[0]["created_at"]


class Folders:
    """Users whose stores nobody has open."""

    def __init__(self, *folders: Path) -> None:
        self.folders = {folder.name: folder for folder in folders}

    def names(self) -> list[str]:
        return list(self.folders)

    def id_of(self, name: str) -> str:
        return name

    def folder(self, name: str) -> Path:
        return self.folders[name]


class Quiet:
    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, event: str, **_: Any) -> None:
        self.said.append(event)

    warning = info


def put(folder: Path, days: float) -> None:
    op = Op.parse(json.dumps(old_line(days)["ops"][0]))
    with Store.open(folder) as store:
        foreign.apply_ops(store, [op], "cli", "import")


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_overdue_backups_are_made_at_the_start_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_S", 0)
    put(tmp_path / "ann", 30)
    put(tmp_path / "bob", 0.5)
    (tmp_path / "new").mkdir()
    for day in range(1, 11):
        (tmp_path / "ann" / "backups").mkdir(exist_ok=True)
        (tmp_path / "ann" / "backups" / f"memories-202511{day:02d}T120000Z-daily.db").touch()
    users, log = Folders(tmp_path / "ann", tmp_path / "bob", tmp_path / "new"), Quiet()
    daily = DailyBackups(users, 7, log)  # type: ignore[arg-type]
    daily.start()
    try:
        await until(lambda: daily.due("bob"))
        names = sorted(b.path.name for b in backups(tmp_path / "ann"))
        assert len(names) == 7
        assert names[-1] > "memories-2026"
        assert backups(tmp_path / "bob") == []
        assert abs((daily.due("bob") or 0) - wall_ms() - DAY_MS // 2) < 60_000
        assert abs((daily.due("ann") or 0) - wall_ms() - DAY_MS) < 60_000
        assert daily.due("new") is None
    finally:
        daily.stop()


async def test_a_clock_that_jumps_ahead_makes_the_next_write_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a night in which the machine slept: the timer did not count it."""
    monkeypatch.setattr(module, "START_S", 0)
    put(tmp_path / "ann", 0.5)
    daily = DailyBackups(Folders(tmp_path / "ann"), 7, Quiet())  # type: ignore[arg-type]
    daily.start()
    try:
        await until(lambda: daily.due("ann"))
        await asyncio.to_thread(daily.wrote, "ann")
        await asyncio.sleep(0.05)
        assert backups(tmp_path / "ann") == []
        monkeypatch.setattr(module, "wall_ms", lambda: wall_ms() + DAY_MS)
        await asyncio.to_thread(daily.wrote, "ann")
        await until(lambda: backups(tmp_path / "ann"))
        await until(lambda: daily.due("ann"))
        await asyncio.to_thread(daily.wrote, "ann")
        await asyncio.sleep(0.05)
        assert len(backups(tmp_path / "ann")) == 1
    finally:
        daily.stop()


async def test_a_failure_is_told_and_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 0)
    put(tmp_path / "ann", 3)
    (tmp_path / "ann" / "backups").write_text("a file where the folder should be")
    log = Quiet()
    daily = DailyBackups(Folders(tmp_path / "ann"), 7, log)  # type: ignore[arg-type]
    daily.start()
    try:
        await until(lambda: daily.due("ann"))
        assert log.said == ["no daily backup"]
        assert (daily.due("ann") or 0) > wall_ms() + module.RETRY_MS - 60_000
    finally:
        daily.stop()


async def test_what_sqlite_says_is_no_end_of_daily_backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(module, "START_S", 0)
    monkeypatch.setattr(module, "lost", damaged)
    put(tmp_path / "ann", 3)
    log = Quiet()
    daily = DailyBackups(Folders(tmp_path / "ann"), 7, log)  # type: ignore[arg-type]
    daily.start()
    try:
        await until(lambda: daily._timer is not None and daily.due("ann"))
        assert log.said == ["no daily backup"]
    finally:
        daily.stop()


async def test_none_are_made_when_none_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 0)
    put(tmp_path / "ann", 3)
    daily = DailyBackups(Folders(tmp_path / "ann"), 0, Quiet())  # type: ignore[arg-type]
    daily.start()
    daily.wrote("ann")
    await asyncio.sleep(0.1)
    daily.stop()
    assert backups(tmp_path / "ann") == []

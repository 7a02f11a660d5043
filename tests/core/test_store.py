from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from jmem.core.clock import stamp_ms, wall_ms
from jmem.core.errors import Invalid, StorageFailed
from jmem.core.store import MEMORY_COLUMNS, Store, Tx, oplog, row_memory
from jmem.core.store.store import DATABASE
from jmem.core.store.writer import Pending
from tests.core.conftest import User

ID = "0199f3a1-c2d4-7b3e-9c1a-0123456789a"


def put(tx: Tx, text: str, n: int = 0, **fields: object) -> None:
    action = oplog.begin_action(tx, "cli", "add")
    oplog.write(tx, action, f"{ID}{n:x}", {"content": text, **fields}, "cli")


def contents(store: Store) -> list[str]:
    with store.reader() as conn:
        return [c for (c,) in conn.execute("SELECT content FROM memories ORDER BY rowid")]


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "user") as store:
        yield store


class Gate:
    """Holds the writer in one job, so that what is submitted meanwhile ends up in one group."""

    def __init__(self, store: Store) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.job = store.submit(self._wait)
        assert self.entered.wait(10)

    def _wait(self, _: Tx) -> None:
        self.entered.set()
        assert self.open.wait(10)


def test_files_are_private(store: Store):
    store.write(lambda tx: put(tx, "x"))
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    for path in store.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_write_is_durable_and_readable_when_it_returns(store: Store):
    store.write(lambda tx: put(tx, "hello"))
    assert contents(store) == ["hello"]
    other = sqlite3.connect(store.path)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert other.execute("SELECT content FROM memories").fetchall() == [("hello",)]
    other.close()
    assert store.outside(lambda conn: conn.execute("PRAGMA synchronous").fetchone()) == (2,)


def test_jobs_that_wait_share_one_commit_and_fail_alone(store: Store):
    commits: list[int] = []
    gate = Gate(store)
    store.on_commit(commits.append)

    def failing(tx: Tx) -> None:
        put(tx, "never", 9)
        raise Invalid("no")

    def broken(tx: Tx) -> None:
        put(tx, "never", 10)
        tx.conn.execute("INSERT INTO meta VALUES ('store_id', 'x')")

    jobs = [store.submit(lambda tx, n=n: put(tx, f"m{n}", n)) for n in range(3)]
    bad, worse = store.submit(failing), store.submit(broken)
    last = store.submit(lambda tx: put(tx, "m3", 3))
    gate.open.set()
    for job in (*jobs, last):
        job.result()
    with pytest.raises(Invalid):
        bad.result()
    with pytest.raises(sqlite3.IntegrityError):
        worse.result()
    assert contents(store) == ["m0", "m1", "m2", "m3"]
    store.write(lambda tx: put(tx, "m4", 4))
    store.outside(lambda conn: None)  # the announcements of earlier commits are out when this returns
    assert commits == [4, 5]
    assert store.last_seq == 5


def test_listeners_hear_of_a_commit_after_its_callers_were_answered(store: Store):
    heard = threading.Event()
    answered = threading.Event()
    order: list[str] = []

    def listener(seq: int) -> None:
        assert answered.wait(10)  # would hang if the answer came after the listeners
        order.append(f"heard {seq}")
        heard.set()

    store.on_commit(listener)
    store.write(lambda tx: put(tx, "x"))
    order.append("answered")
    answered.set()
    assert heard.wait(10)
    assert order == ["answered", "heard 1"]


def test_a_listener_that_fails_stops_nobody(store: Store, caplog: pytest.LogCaptureFixture):
    store.on_commit(lambda seq: 1 / 0)
    store.write(lambda tx: put(tx, "x"))
    store.write(lambda tx: put(tx, "y", 1))
    store.outside(lambda conn: None)
    assert contents(store) == ["x", "y"]
    assert "ZeroDivisionError" in caplog.text


def test_a_commit_without_ops_is_not_announced(store: Store):
    commits: list[int] = []
    store.on_commit(commits.append)
    store.write(lambda tx: tx.conn.execute("UPDATE meta SET value = value"))
    store.outside(lambda conn: None)
    assert commits == []


def test_a_full_disk_says_so_loses_nothing_and_passes(store: Store):
    store.write(lambda tx: put(tx, "before"))
    pages = store.outside(lambda conn: conn.execute("PRAGMA page_count").fetchone()[0])
    store.outside(lambda conn: conn.execute(f"PRAGMA max_page_count = {pages + 6}").fetchone())
    stored, n = ["before"], 0
    failure = None
    while failure is None:
        n += 1
        text = f"{n} " + "long " * 2000
        try:
            store.write(lambda tx, n=n, text=text: put(tx, text, n))
            stored.append(text)
        except StorageFailed as error:
            failure = error
    assert n < 15
    assert failure.code == "disk_full"
    assert failure.fix is not None
    assert contents(store) == stored  # reads go on, and nothing half-written shows
    gate = Gate(store)  # a group in which one job does not fit
    big = store.submit(lambda tx: put(tx, "big " * 12_000, 15))
    small = store.submit(lambda tx: tx.conn.execute("UPDATE meta SET value = value"))
    gate.open.set()
    with pytest.raises(StorageFailed):
        big.result()
    small.result()
    store.outside(lambda conn: conn.execute("PRAGMA max_page_count = 1000000").fetchone())
    store.write(lambda tx: put(tx, "after", 0xE))
    assert contents(store) == [*stored, "after"]
    assert store.write(lambda tx: tx.conn.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


def test_a_connection_that_can_not_write_is_opened_anew(store: Store):
    store.outside(lambda conn: conn.execute("PRAGMA query_only = ON"))
    store.write(lambda tx: put(tx, "x"))
    assert contents(store) == ["x"]


def test_a_write_is_answered_though_the_folder_is_gone(tmp_path: Path):
    with Store.open(tmp_path / "user") as store:
        store.outside(lambda conn: conn.execute("PRAGMA query_only = ON"))
        store.folder.rename(tmp_path / "away")
        for _ in range(2):
            with pytest.raises(StorageFailed):
                _within(10, store.submit(lambda tx: put(tx, "x")))


def test_the_writer_goes_on_whatever_fails_in_it(store: Store, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(store._writer, "_transaction", lambda group: 1 / 0)
        patch.setattr(store._writer, "_second_try", lambda group, error: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            _within(10, store.submit(lambda tx: put(tx, "lost")))
    _within(10, store.submit(lambda tx: put(tx, "x")))
    assert contents(store) == ["x"]


def _within(seconds: float, pending: Pending[None]) -> None:
    """The result of a write; fails when there is none after so long."""
    assert pending._done.acquire(timeout=seconds), "nobody answers"
    pending._done.release()
    pending.result()


def test_work_after_closing_is_refused(tmp_path: Path):
    store = Store.open(tmp_path)
    pending = [store.submit(lambda tx, n=n: put(tx, str(n), n)) for n in range(3)]
    store.close()
    store.close()
    for job in pending:
        job.result()
    for work in (lambda: store.write(lambda tx: None), lambda: store.reader().__enter__()):
        with pytest.raises(StorageFailed) as caught:
            work()
        assert caught.value.code == "closed"
    with Store.open(tmp_path) as again:
        assert contents(again) == ["0", "1", "2"]
    assert not (tmp_path / f"{DATABASE}-wal").exists()


def test_the_clock_and_the_sequence_go_on_after_a_restart(tmp_path: Path):
    ahead = f"{wall_ms() + 86_400_000:012x}-0000-ffffffff"
    with Store.open(tmp_path) as store:
        store.write(lambda tx: (tx.clock.see(ahead), put(tx, "x")))
        node = store.write(lambda tx: tx.clock.node)
        seq, name = store.last_seq, store.store_id
    with Store.open(tmp_path) as store:
        assert (store.last_seq, store.store_id) == (seq, name)
        store.write(lambda tx: put(tx, "y", 1))
        assert store.write(lambda tx: tx.clock.node) != node
        with store.reader() as conn:
            stamps = [s for (s,) in conn.execute("SELECT stamp FROM ops ORDER BY seq")]
    assert stamps == sorted(stamps)
    assert stamp_ms(stamps[1]) >= stamp_ms(ahead)


def test_readers_are_read_only_and_reused(store: Store):
    with store.reader() as conn:
        first = conn
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            conn.execute("DELETE FROM memories")
        with store.reader() as other:
            assert other is not conn
    with store.reader() as conn:
        assert conn is first
    with pytest.raises(StorageFailed), store.reader() as conn:
        conn.execute("SELECT nothing FROM nowhere")


def test_many_threads_write_and_read_at_once(store: Store):
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for k in range(10):
                id = f"0199f3a1-c2d4-7b3e-{n:04x}-{k:012x}"

                def run(tx: Tx, id: str = id) -> None:
                    oplog.write(tx, oplog.begin_action(tx, "cli", "add"), id, {"content": id, "thread": "t"}, "cli")

                store.write(run)
                with store.reader() as conn:
                    row = conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE id = ?", (id,)).fetchone()
                assert row_memory(row).content == id
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(contents(store)) == 80
    assert store.last_seq == 80


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / DATABASE).write_bytes(b"this is no database, it is a diary " * 200)
    with pytest.raises(StorageFailed) as caught:
        Store.open(tmp_path)
    assert caught.value.code == "damaged"
    assert caught.value.fix == "jmem backup restore"


def test_a_read_of_damaged_pages_names_the_damage(tmp_path: Path):
    with Store.open(tmp_path) as store:
        for n in range(16):
            store.write(lambda tx, n=n: put(tx, f"{n} " + "long " * 2000, n))
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    for start in range(8 * 4096, len(data), 4096):
        data[start : start + 64] = b"\xff" * 64
    with Store.open(tmp_path) as store:
        path.write_bytes(data)
        with pytest.raises(StorageFailed) as caught:
            contents(store)
    assert caught.value.code == "damaged"
    assert caught.value.fix == "jmem backup restore"


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFailed) as caught:
        Store.open(tmp_path / "file" / "user")
    assert caught.value.code == "cannot_open"


def test_a_backup_is_whole_and_private(user: User, tmp_path: Path):
    user.store.write(lambda tx: put(tx, "kept"))
    size = user.store.backup(tmp_path / "copies" / "one.db")
    target = tmp_path / "copies" / "one.db"
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]
    copy = sqlite3.connect(target)
    assert copy.execute("SELECT content FROM memories").fetchall() == [("kept",)]
    copy.close()


def test_the_quick_count_of_pages(store: Store):
    """An add stays within few pages: each one is written and synced before the answer."""
    for n in range(16):
        store.write(lambda tx, n=n: put(tx, f"memory number {n}", n))
    store.outside(lambda conn: conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    id = "0299f3a1-c2d4-7b3e-9c1a-0123456789ab"
    store.write(lambda tx: oplog.write(tx, oplog.begin_action(tx, "cli", "add"), id, {"content": "one more"}, "cli"))
    frames = (store.folder / f"{DATABASE}-wal").stat().st_size // 4120
    assert frames <= 26


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_nothing_is_acknowledged_into_a_file_that_was_removed(store: Store, suffix: str):
    store.write(lambda tx: put(tx, "before", 1))
    path = Path(f"{store.path}{suffix}")
    away = path.with_name("away")
    path.rename(away)
    for _ in range(2):
        with pytest.raises(StorageFailed) as caught:
            store.write(lambda tx: put(tx, "lost", 2))
        assert caught.value.code == "store_gone"
    away.rename(path)
    store.write(lambda tx: put(tx, "after", 3))
    assert contents(store) == ["before", "after"]


def test_nothing_is_acknowledged_into_a_file_that_was_replaced(store: Store):
    store.write(lambda tx: put(tx, "before", 1))
    copy = store.path.with_name("copy.db")
    copy.write_bytes(store.path.read_bytes())
    copy.replace(store.path)
    with pytest.raises(StorageFailed, match="replaced"):
        store.write(lambda tx: put(tx, "lost", 2))


def test_a_write_that_fails_leaves_the_clock_as_it_was(user: User):
    user.store.write(lambda tx: tx.clock.tick())

    def fail(tx: Tx) -> None:
        tx.clock.offset_ms, tx.clock.last = 3_600_000, ""
        raise ValueError("no")

    before = user.store.write(lambda tx: (tx.clock.last, tx.clock.offset_ms))
    with pytest.raises(ValueError, match="no"):
        user.store.write(fail)
    assert user.store.write(lambda tx: (tx.clock.last, tx.clock.offset_ms)) == before

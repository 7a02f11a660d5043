"""The threads that exchange: what they ask of the account, what they wait for, and that nothing ends them for good."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import daemon.syncer
import sync.plan
from bench.home import wait_for
from daemon import account
from daemon.syncer import Syncer
from jmem.core.drafts import Draft
from jmem.core.errors import Conflict, JmemError, Unreachable
from sync.remote import AccountGone, Offline, Remote
from tests.core.conftest import User, open_user
from tests.sync.conftest import ME

PATIENCE_S = 15.0


class Log:
    """Keeps what was logged as an error."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, event: str, **more: Any) -> None:
        self.errors.append(event)

    def warning(self, event: str, **more: Any) -> None:
        logging.getLogger("test").info("%s %s", event, more)

    debug = info = warning


@dataclass
class Machine:
    """A store and the threads of its sync."""

    user: User
    syncer: Syncer
    log: Log

    def add(self, content: str) -> str:
        return self.user.service.add(Draft(content), ME).memory.id

    def has(self, id: str) -> bool:
        with self.user.store.reader() as conn:
            return conn.execute("SELECT 1 FROM memories WHERE id = ?", (id,)).fetchone() is not None

    def until(self, what: Callable[[dict[str, Any]], bool]) -> None:
        wait_for(lambda: what(self.syncer.status()), PATIENCE_S, "a state of sync")

    def quiet(self) -> None:
        self.until(lambda said: said["streaming"] and not said["waiting"] and said["state"] == "on")


Make = Callable[[], Machine]


@pytest.fixture
def make(account_url: str, tmp_path: Path) -> Iterator[Make]:
    """Machines of one account."""
    key, made = str(uuid.uuid4()), contextlib.ExitStack()

    def run() -> Machine:
        user = open_user(tmp_path / uuid.uuid4().hex)
        made.callback(user.close)
        log = Log()
        syncer = Syncer("somebody", user.folder, user.store, user.service, account_url, key, log)
        made.callback(syncer.stop)
        user.store.on_commit(lambda seq: syncer.wrote())
        syncer.start()
        return Machine(user, syncer, log)

    with made:
        yield run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the account, by whom."""
    said: list[str] = []
    send = Remote._send

    def run(self: Remote, method: str, path: str, *more: Any) -> Any:
        said.append(f"{path.rpartition('/')[2]} {self.device}")
        return send(self, method, path, *more)

    monkeypatch.setattr(Remote, "_send", run)
    return said


def test_a_write_costs_three_requests_on_two_machines(make: Make, asked: list[str]):
    a, b = make(), make()
    first = a.add("the first, after which the account has said its limits")
    wait_for(lambda: b.has(first), PATIENCE_S, "the first")
    a.quiet()
    b.quiet()
    time.sleep(1)
    asked.clear()
    id = a.add("I prefer aisle seats")
    wait_for(lambda: b.has(id), PATIENCE_S, "the other machine has it")
    time.sleep(1)
    one, other = a.user.store.store_id, b.user.store.store_id
    assert sorted(asked) == sorted([f"push {one}", f"pull {one}", f"pull {other}"])


def test_paused_is_paused_whoever_asks(make: Make, asked: list[str]):
    a = make()
    a.quiet()
    a.syncer.pause(True)
    asked.clear()
    a.add("stays for now")
    for ask in (lambda: a.syncer.now(5), lambda: a.syncer.verify(5, fix=False)):
        with pytest.raises(Conflict) as refused:
            ask()
        assert (refused.value.code, refused.value.fix) == ("paused", "jmem sync resume")
    assert asked == []
    a.syncer.pause(False)
    a.quiet()


def test_who_waits_for_an_exchange_is_told_when_it_is_paused(make: Make, monkeypatch: pytest.MonkeyPatch):
    a = make()
    a.quiet()
    held = threading.Event()
    monkeypatch.setattr(Remote, "pull", lambda *_, **__: held.wait(PATIENCE_S))
    pausing = threading.Timer(0.2, a.syncer.pause, (True,))
    pausing.start()
    with pytest.raises(Conflict):
        a.syncer.now(PATIENCE_S)
    held.set()
    pausing.join()


def test_a_purge_of_the_feed_holds_up_nothing(make: Make, monkeypatch: pytest.MonkeyPatch):
    a, b = make(), make()
    gone = a.add("the code is marigold")
    wait_for(lambda: b.has(gone), PATIENCE_S, "the memory")
    go_on, began = threading.Event(), threading.Event()
    finish = b.user.service.finish_purges

    def slow() -> Any:
        began.set()
        go_on.wait(PATIENCE_S)
        return finish()

    monkeypatch.setattr(b.user.service, "finish_purges", slow)
    a.user.service.purge(gone, ME)
    assert began.wait(PATIENCE_S)
    after = a.add("written after it")
    wait_for(lambda: b.has(after), 5, "what came after the purge")
    go_on.set()
    wait_for(lambda: b"marigold" not in (b.user.folder / "memories.db").read_bytes(), PATIENCE_S, "its end")


def test_a_purge_of_what_was_never_here_reaches_nothing(make: Make, monkeypatch: pytest.MonkeyPatch):
    a = make()
    gone = a.add("the code is marigold")
    a.quiet()
    a.user.service.purge(gone, ME)
    kept = a.add("kept")
    a.quiet()
    late = make()
    ended: list[str] = []
    monkeypatch.setattr(late.user.service, "finish_purges", lambda: ended.append("purge"))
    wait_for(lambda: late.has(kept), PATIENCE_S, "what is kept")
    time.sleep(0.2)
    assert ended == []
    with late.user.store.reader() as conn:
        assert conn.execute("SELECT id FROM purged WHERE reached = 0").fetchall() == []
    assert not late.has(gone)


def test_a_stream_that_fails_in_any_way_is_opened_again(make: Make, monkeypatch: pytest.MonkeyPatch):
    hints, broken = Remote.hints, threading.Event()

    @contextmanager
    def once(self: Remote) -> Iterator[Iterator[int]]:
        with hints(self) as seqs:
            if not broken.is_set():
                broken.set()
                raise LookupError("nobody thought of this")
            yield seqs

    monkeypatch.setattr(Remote, "hints", once)
    monkeypatch.setattr(daemon.syncer, "backoff", lambda *_: 0.05)
    a = make()
    assert broken.wait(PATIENCE_S)
    a.quiet()
    assert a.log.errors == ["the stream of hints failed"]


def test_a_line_that_closes_each_stream_at_once_is_left_alone_for_longer_each_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    waits: list[int] = []

    @contextmanager
    def closed(self: Remote) -> Iterator[Iterator[int]]:
        yield iter(())

    def backoff(failures: int, *_: Any) -> float:
        waits.append(failures)
        return 0.02

    monkeypatch.setattr(Remote, "hints", closed)
    monkeypatch.setattr(daemon.syncer, "backoff", backoff)
    make()
    wait_for(lambda: len(waits) >= 4, PATIENCE_S, "some tries")
    assert waits[:4] == [2, 3, 4, 5]


def test_a_stream_that_the_account_ends_after_a_while_is_opened_again_at_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    hints, waits, ended = Remote.hints, list[int](), 0

    @contextmanager
    def thrice(self: Remote) -> Iterator[Iterator[int]]:
        nonlocal ended
        if ended < 3:
            ended += 1
            yield iter(())
        else:
            with hints(self) as seqs:
                yield seqs

    monkeypatch.setattr(Remote, "hints", thrice)
    monkeypatch.setattr(daemon.syncer, "LIVED_S", 0.0)
    monkeypatch.setattr(daemon.syncer, "backoff", lambda failures, *_: waits.append(failures) or 5.0)
    make().quiet()
    assert (ended, waits) == (3, [])


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While it is set, nobody answers; by itself it is tried again after half an hour, else at most each second."""
    away, send = threading.Event(), Remote._send

    def run(self: Remote, *asked: Any) -> Any:
        if away.is_set():
            raise Offline("no network")
        return send(self, *asked)

    monkeypatch.setattr(Remote, "_send", run)
    monkeypatch.setattr(sync.plan, "backoff", lambda *_: 1800.0)
    monkeypatch.setattr(sync.plan, "RETRY_EVERY", 1.0)
    monkeypatch.setattr(sync.plan, "LOOK_EVERY", 0.1)
    yield away
    away.clear()


def _miss(machine: Machine) -> None:
    """Have it find that nobody answers, and wait."""
    with pytest.raises(Offline):
        machine.syncer.now(PATIENCE_S)
    assert 1790 <= machine.syncer.status()["next_try_s"] <= 1800


def test_what_is_written_after_many_failures_does_not_wait_for_the_next_try(make: Make, away: threading.Event):
    a, b = make(), make()
    a.quiet()
    away.set()
    _miss(a)
    time.sleep(1)
    a.add("nobody answers yet")
    a.until(lambda said: said["next_try_s"] is not None and said["next_try_s"] >= 1790 and said["waiting"] == 1)
    away.clear()
    id = a.add("the network is back")
    assert a.syncer.status()["next_try_s"] == 1
    wait_for(lambda: b.has(id), PATIENCE_S, "what was written")
    assert a.syncer.status()["next_try_s"] is None


def test_it_is_tried_again_when_the_machine_wakes(make: Make, away: threading.Event, monkeypatch: pytest.MonkeyPatch):
    a, b = make(), make()
    a.quiet()
    away.set()
    _miss(a)
    away.clear()
    id = b.add("written while this machine slept")
    time.sleep(1)
    assert not a.has(id)
    ahead = daemon.syncer.ahead_s()
    monkeypatch.setattr(daemon.syncer, "ahead_s", lambda: ahead + 3600)
    wait_for(lambda: a.has(id), PATIENCE_S, "what was written meanwhile")
    a.quiet()


def test_nothing_is_tried_again_while_paused(make: Make, away: threading.Event):
    a = make()
    a.quiet()
    away.set()
    _miss(a)
    assert a.syncer.pause(True)["next_try_s"] is None


def test_whatever_fails_at_the_end_of_an_account_the_thread_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch):
    a = make()
    a.quiet()

    def gone(*_: Any, **__: Any) -> None:
        raise AccountGone("it was deleted")

    def full(*_: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "pull", gone)
        patch.setattr(account, "leave", full)
        with pytest.raises(JmemError) as failed:
            a.syncer.now(5)
        assert failed.value.code == "sync_failed"
    a.syncer.now(PATIENCE_S)


def test_a_sign_in_that_changes_while_both_are_compared_is_no_crash(make: Make, monkeypatch: pytest.MonkeyPatch):
    a = make()
    a.quiet()
    remote = a.syncer.remote()
    remote.close()
    with pytest.raises(Offline):
        remote.hello()
    monkeypatch.setattr(a.syncer, "now", lambda seconds: setattr(a.syncer, "_remote", None))
    with pytest.raises(Unreachable):
        a.syncer.verify(5, fix=False)
    assert a.syncer.verifying == ("", 0)


def test_the_connections_of_one_sign_in_end_with_it(make: Make):
    a = make()
    a.quiet()
    sessions, remote = a.syncer._sessions, a.syncer._remote
    assert sessions is not None
    assert remote is not None
    a.syncer.restart()
    assert sessions.is_closed
    wait_for(lambda: remote._http.is_closed, PATIENCE_S, "the exchange's connections are closed")
    a.quiet()

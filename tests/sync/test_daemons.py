"""Real daemons, a real account, and a line between them that misbehaves: either side is killed at any step, the line is cut,
slow, half open, flapping; afterwards both machines and the account hold the same, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from bench.home import Api, Home, temporary_home, wait_for
from bench.sync_wire import Line
from tests.hosted.identity.conftest import Running
from tests.hosted.survive.conftest import Replica, replica
from tests.hosted.world import Behind, Person, sign_up

PATIENCE_S = 60.0
CUT = (OSError, http.client.HTTPException)


@dataclass
class Account:
    """The account's server, which may be killed and started again, and the line to it."""

    line: Line
    begin: Callable[[], contextlib.AbstractContextManager[Replica]]
    stack: contextlib.ExitStack
    behind: Behind
    server: Replica = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.server = self.stack.enter_context(self.begin())
        self.line.upstream = self.server.url

    def kill(self) -> None:
        self.server.process.send_signal(signal.SIGKILL)

    def feed(self, user: uuid.UUID) -> dict[str, str]:
        """Digests by stamp."""
        rows = self.behind.fetch("SELECT stamp, digest FROM jmem.ops WHERE user_id = $1", user)
        return {row["stamp"]: row["digest"] for row in rows}


@dataclass
class Machine:
    """A home whose daemon is signed in."""

    home: Home
    told: dict[str, str] = field(default_factory=dict)
    """what its person was told is stored: texts by id"""
    _api: Api | None = None

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = self.home.api()
        return self._api

    def again(self) -> None:
        """Start the daemon anew where it was killed."""
        self.close()
        self.home.start()

    def add(self, content: str, **fields: Any) -> str:
        id = str(self.api.add(content, **fields)["id"])
        self.told[id] = content
        return id

    def kill(self) -> None:
        """At once, from whatever thread."""
        if pid := self.home.pid:
            os.kill(pid, signal.SIGKILL)

    def now(self) -> None:
        """Ask for an exchange; it may fail."""
        with contextlib.suppress(CUT):
            self.api.call("POST", "/api/v1/sync/now", {})

    def log(self) -> dict[str, str]:
        path = next((self.home.path / "users").iterdir()) / "memories.db"
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as conn:
            return dict(conn.execute("SELECT stamp, digest FROM ops WHERE sent <> 2").fetchall())

    def memories(self) -> dict[str, tuple[str, tuple[str, ...], str]]:
        listed = self.api.every(state="all")
        return {m["id"]: (m["content"], tuple(m["tags"]), m["version"]) for m in listed if m["privacy"] != "local"}

    def close(self) -> None:
        if self._api is not None:
            self._api.close()
        self._api = None


@dataclass
class Pair:
    """Two machines of one person."""

    account: Account
    me: Person
    one: Machine
    other: Machine

    @property
    def line(self) -> Line:
        return self.account.line

    def converge(self) -> None:
        """Until both are in step with the account, by themselves but for a nudge; then compare everything."""
        self.line.asks = self.line.answers = None
        self.line.turn("well")
        if self.account.server.process.poll() is not None:
            self.account.start()
        for machine in (self.one, self.other):
            if machine.home.pid is None:
                machine.again()

        def same() -> bool:
            for machine in (self.one, self.other):
                machine.now()
            feed = self.account.feed(self.me.user)
            return self.one.log() == feed == self.other.log()

        wait_for(same, PATIENCE_S, "the machines and the account agree")
        for machine in (self.one, self.other):
            wait_for(lambda m=machine: m.api.must("GET", "/sync")["state"] == "on", PATIENCE_S, "sync is on")  # type: ignore[misc]
            status = machine.api.must("GET", "/sync")
            assert (status["waiting"], status["error"], status["stuck"], status["refused"]) == (0, None, {}, {})
            verdict = machine.api.must("POST", "/sync/verify", {"fix": False})
            assert verdict["equal"], verdict
        here, there = self.one.memories(), self.other.memories()
        assert here == there
        for machine in (self.one, self.other):
            for id, content in machine.told.items():
                assert here[id][0] == content, "an acknowledged write is lost"


@pytest.fixture(scope="module")
def supabase() -> Iterator[Running]:
    with Running() as running:
        yield running


@pytest.fixture(scope="module")
def pair(database_url: str, owner_url: str, supabase: Running) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(contextlib.closing(Behind(owner_url)))
        line = Line("http://127.0.0.1:1")
        stack.callback(line.close)
        account = Account(line, lambda: replica(database_url, supabase), stack, behind)
        me = sign_up(stack.enter_context(httpx.Client()), supabase)
        machines = []
        for _ in range(2):
            machine = Machine(stack.enter_context(temporary_home()))
            stack.callback(machine.close)
            machine.home.start()
            asked = {"url": line.url, "email": me.email, "password": "correct horse"}
            machine.api.must("POST", "/account/login", asked)
            machines.append(machine)
        yield Pair(account, me, *machines)


def asks_to(path: bytes, then: Callable[[], object], *, pass_on: bool = False) -> Callable[[bytes], bool]:
    """Do something once, when a request for the path goes by, which is lost then unless it is passed on."""
    done = threading.Event()

    def hook(data: bytes) -> bool:
        if path not in data or done.is_set():
            return False
        done.set()
        then()
        return not pass_on

    return hook


def answers_to(line: Line, path: bytes, then: Callable[[], object]) -> None:
    """Do something once, when the answer to a request for the path goes by, which is lost then."""
    asked, done = threading.Event(), threading.Event()

    def up(data: bytes) -> bool:
        if path in data:
            asked.set()
        return False

    def down(data: bytes) -> bool:
        if not asked.is_set() or done.is_set() or b"HTTP/1.1 200" not in data[:20]:
            return False
        done.set()
        then()
        return True

    line.asks, line.answers = up, down


PUSH, PULL = b"/sync/push", b"/sync/pull"


@pytest.mark.parametrize("path", [PUSH, PULL], ids=["push", "pull"])
@pytest.mark.parametrize("step", ["asked", "answered"])
def test_a_daemon_is_killed_between_two_steps(pair: Pair, path: bytes, step: str):
    killed = threading.Event()

    def kill() -> None:
        pair.one.kill()
        killed.set()

    pair.other.add(f"of the other {path!r} {step}")
    if step == "asked":
        pair.line.asks = asks_to(path, kill)
    else:
        answers_to(pair.line, path, kill)
    for n in range(3):
        with contextlib.suppress(CUT):
            pair.one.add(f"before the end {path!r} {step} {n}")
    with contextlib.suppress(CUT):
        pair.one.api.call("POST", "/api/v1/sync/now", {})
    assert killed.wait(20)
    pair.one.home.kill()
    pair.converge()


@pytest.mark.parametrize("step", ["asked", "answered"])
def test_the_server_is_killed_between_two_steps(pair: Pair, step: str):
    if step == "asked":
        pair.line.asks = asks_to(PUSH, pair.account.kill, pass_on=True)
    else:
        answers_to(pair.line, PUSH, pair.account.kill)
    for n in range(3):
        pair.one.add(f"the server ends {step} {n}")
    wait_for(lambda: pair.account.server.process.poll() is not None, 20, "the server's end")
    pair.one.add("written without a server")
    pair.other.add("also written without one")
    pair.converge()


def test_a_daemon_is_killed_at_any_moment(pair: Pair):
    rng = random.Random(5)
    for turn in range(2):
        killer = threading.Timer(rng.uniform(0.1, 0.6), pair.one.kill)
        killer.start()
        with contextlib.suppress(CUT):
            for n in range(10_000):
                pair.one.add(f"in a row {turn} {n}")
        killer.join()
        pair.one.home.kill()
        pair.one.again()
    pair.converge()


def test_whatever_the_line_does(pair: Pair):
    kept = "canary-" + uuid.uuid4().hex
    pair.line.record = bytearray()
    for mood in ("down", "half_open", "cut", "slow", "429", "500", "413"):
        with pair.line.in_mood(mood):
            pair.line.hang_up()
            for machine in (pair.one, pair.other):
                machine.add(f"{mood} on {machine.home.path}")
                machine.api.add(f"{kept} {mood}", privacy="local")
            time.sleep(0.7)  # the exchange is tried meanwhile
    for _ in range(5):
        for mood in ("down", "well"):
            pair.line.turn(mood)
            time.sleep(0.05)
            pair.one.add(f"flapping {mood} {uuid.uuid4()}")
    pair.converge()
    assert b"flapping well" in pair.line.record
    assert kept.encode() not in pair.line.record, "something private was seen at the wire"
    pair.line.record = None


def test_both_edit_one_memory_for_a_while(pair: Pair):
    id = pair.one.add("edited by both")
    pair.converge()
    del pair.one.told[id]
    ended = time.monotonic() + 3
    last: dict[str, str] = {}

    def edit(machine: Machine, name: str) -> None:
        with contextlib.closing(machine.home.api()) as api:
            n = 0
            while time.monotonic() < ended:
                n += 1
                change = {"tags": [f"{name}{n}"]} if n % 5 == 0 else {"content": f"{name} {n}"}
                api.must("PATCH", f"/memories/{id}", change)
                if "content" in change:
                    last[name] = change["content"]

    threads = [threading.Thread(target=edit, args=pair_) for pair_ in ((pair.one, "one"), (pair.other, "other"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pair.converge()
    assert pair.one.memories()[id][0] in last.values()


def test_an_old_backup_is_restored_on_a_machine(pair: Pair):
    first = pair.one.add("before the backup")
    gone = pair.one.add("forgotten after the backup")
    pair.converge()
    backup = pair.one.api.must("POST", "/backup", {})
    pair.one.add("after the backup")
    pair.one.told[first] = "changed after the backup"
    pair.one.api.must("PATCH", f"/memories/{first}", {"content": "changed after the backup"})
    pair.one.api.must("DELETE", f"/memories/{gone}?purge=true")
    del pair.one.told[gone]
    pair.converge()
    pair.one.api.must("POST", "/backup/restore", {"path": backup["path"]})
    pair.one.close()
    pair.other.add("while it comes back")
    pair.converge()
    assert gone not in pair.one.memories()


def test_a_write_is_found_on_the_other_machine_within_a_second_or_so(pair: Pair):
    pair.converge()
    wait_for(lambda: pair.one.api.must("GET", "/sync")["streaming"] and pair.other.api.must("GET", "/sync")["streaming"],
             PATIENCE_S, "both listen")  # fmt: skip
    word = "zebra" + uuid.uuid4().hex[:8]
    pair.one.add(f"the word is {word}")
    began = time.monotonic()
    wait_for(lambda: pair.other.api.search(word, mode="text")["results"], 10, "the word is found")
    assert time.monotonic() - began < 5, "one second alone on a machine; here others work too"


def test_a_write_comes_by_itself_after_the_account_was_away(pair: Pair):
    pair.converge()
    with pair.line.in_mood("down"):
        id = pair.one.add("written while the account was away")
        wait_for(lambda: pair.one.api.must("GET", "/sync")["error"], PATIENCE_S, "the machine misses the account")
        assert id not in pair.other.memories()
    wait_for(lambda: id in pair.other.memories(), 90, "the other machine has it, and nobody asked for it")
    pair.converge()


def test_a_write_waits_no_half_hour_for_an_account_that_is_back(pair: Pair):
    pair.converge()
    with pair.line.in_mood("down"):
        for _ in range(12):
            pair.one.now()
        assert pair.one.api.must("GET", "/sync")["next_try_s"] > 600
    pair.one.add("written when the account was back")
    assert pair.one.api.must("GET", "/sync")["next_try_s"] <= 60
    pair.converge()

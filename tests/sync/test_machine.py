"""Two devices of an account, one of another with the same ids, the real server: whatever happens in whatever order, all of
them know the same in the end, nothing that somebody was told of is lost, and nothing private was seen on the way.

`JMEM_SYNC_TRACES` and `JMEM_SYNC_STEPS` make it longer.
"""

from __future__ import annotations

import itertools
import os
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hosted.api import sync as hosted_sync
from tests.sync.world import HELD_TAG, Replica, Tables, Time, World

TRACES = int(os.environ.get("JMEM_SYNC_TRACES", "8"))
STEPS = int(os.environ.get("JMEM_SYNC_STEPS", "30"))
FAULTS = ("lost_request", "lost_reply", "cut", "twice", "delayed", "kept_and_late", "throttled", "failing", "too_large",
          "too_large_for_the_way")  # fmt: skip
CALLS = ("", "push", "pull")

_place: dict[str, Any] = {}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def tables(owner_url: str) -> Iterator[Tables]:
    made = Tables(owner_url)
    yield made
    made.close()


@pytest.fixture
def place(
    account_url: str, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What a world needs that traces share."""
    time = Time()
    time.install(monkeypatch)
    monkeypatch.setattr(hosted_sync, "_LIMITS", hosted_sync._LIMITS.model_copy(update={"push_ops": 3}))
    _place.update(url=account_url, tables=tables, folder=tmp_path, time=time)
    yield _place
    _place.clear()


device = st.integers(0, 2)
pick = st.integers(0, 5)
changes = st.sampled_from([
    "delete", "restore", "delete", "purge", "hide", "publish", "supersede", "rewind", "undo", "redo",
    "keep", "both", "text",
])  # fmt: skip
web = st.sampled_from([
    "add", "content", "tags", "delete", "restore", "purge", "supersede", "keep", "both", "undo", "redo",
])  # fmt: skip
faults = st.lists(
    st.tuples(st.sampled_from(CALLS), st.sampled_from(FAULTS)).map(lambda pair: ":".join(pair).lstrip(":")), max_size=3
)


class Sync(RuleBasedStateMachine):
    """Devices 0 and 1 are of one account, 2 is of another."""

    def __init__(self) -> None:
        super().__init__()
        random.seed(0)
        self.time: Time = _place["time"]
        self.time.passed = 0
        folder = _place["folder"] / f"trace{next(_numbers)}"
        self.world = World(_place["url"], _place["tables"], folder, self.time)
        one, other = self.world.account(), self.world.account()
        self.accounts = (one, other)
        self.devices = [self.world.replica(account) for account in (one, one, other)]

    def mine(self, at: Replica, n: int) -> str | None:
        """One of the memories that a device knows."""
        ids = at.ids()
        return ids[n % len(ids)] if ids else None

    @initialize(many=st.integers(0, 3))
    def something_is_there(self, many: int) -> None:
        for _ in range(many):
            self.world.add(self.devices[0])
        self.exchange_in_turn()

    # ---- people -------------------------------------------------------------------------------

    @rule(d=device, kind=st.sampled_from(["", "", "local", "held"]))
    def add(self, d: int, kind: str) -> None:
        self.world.add(self.devices[d], local=kind == "local", tags=(HELD_TAG,) if kind == "held" else ())

    @rule(n=pick)
    def add_with_the_same_id(self, n: int) -> None:
        id = self.mine(self.devices[0], n)
        if id is not None and id not in self.devices[0].ids(local=True):
            self.world.add_as(self.devices[2], id)

    @rule(d=device, n=pick)
    def rewrite(self, d: int, n: int) -> None:
        if (id := self.mine(self.devices[d], n)) is not None:
            self.world.rewrite(self.devices[d], id)

    @rule(d=device, n=pick, tags=st.sampled_from([[], ["a"], ["b", "a"], [HELD_TAG]]))
    def tag(self, d: int, n: int, tags: list[str]) -> None:
        if (id := self.mine(self.devices[d], n)) is not None:
            self.world.edit(self.devices[d], id, tags=tags)

    @rule(d=device, n=pick, what=changes)
    def change(self, d: int, n: int, what: str) -> None:
        self.do(self.devices[d], n, what)

    def do(self, at: Replica, n: int, what: str) -> None:
        """A person changes one of the memories of a device."""
        id = self.mine(at, n)
        if id is None or (what in ("hide", "publish") and (id in at.ids(local=True)) is not (what == "publish")):
            return
        if what in ("undo", "redo"):
            self.world.take_back(at, redo=what == "redo")
        elif what in ("keep", "both", "text"):
            apart = [id for (id,) in at.query("SELECT id FROM conflicts ORDER BY id")]
            self.world.settle_one(at, apart[n % len(apart)] if apart else id, what, str(n % 2 + 1))
        else:
            getattr(self.world, what)(at, id)

    @rule(d=device, n=pick, how=st.sampled_from(["keep", "both", "text"]))
    def settle_what_was_written_apart(self, d: int, n: int, how: str) -> None:
        self.do(self.devices[d], n, how)

    @rule(d=device, n=pick, what=st.sampled_from(["undo", "redo", "rewind", "restore"]))
    def take_back(self, d: int, n: int, what: str) -> None:
        self.do(self.devices[d], n, what)

    @rule(d=st.integers(0, 1), n=pick, told=st.booleans())
    def write_apart(self, d: int, n: int, told: bool) -> None:
        """Both devices of the account have the memory, and each writes another text of it."""
        one, other = self.devices[d], self.devices[1 - d]
        id = self.mine(one, n)
        if id is not None and id in other.ids(local=False) and id not in one.ids(local=True):
            self.world.rewrite(one, id)
            self.world.rewrite(other, id)
            if told:
                self.exchange_in_turn()

    @rule(a=st.integers(0, 1), n=pick, what=web)
    def on_the_web_page(self, a: int, n: int, what: str) -> None:
        self.do_on_the_web(self.accounts[a], n, what)

    def do_on_the_web(self, account: uuid.UUID, n: int, what: str) -> None:
        """The account's person changes one of the memories that are there."""
        if what == "add":
            self.world.web(account, "POST", "/memories", {"content": self.world.words()})
            return
        if what in ("undo", "redo"):
            self.world.web(account, "POST", "/undo", {"redo": what == "redo"})
            return
        rows = self.world.tables.fetch(
            "SELECT id FROM jmem.memories WHERE user_id = $1 AND NOT purged ORDER BY id", account
        )
        if not rows:
            return
        id = rows[n % len(rows)]["id"]
        path = f"/memories/{id}"
        if what == "supersede":
            self.world.web(account, "POST", "/memories", {"content": self.world.words(), "supersedes": id})
        elif what in ("keep", "both"):
            self.world.web(account, "POST", f"/conflicts/{id}", {"how": what, "version": "1"})
        elif what in ("content", "tags"):
            value = self.world.words() if what == "content" else [f"web{n}"]
            self.world.web(account, "PATCH", path, {what: value})
        elif what == "restore":
            self.world.web(account, "POST", f"{path}/restore", {})
        else:
            self.world.web(account, "DELETE", path + ("?purge=true" if what == "purge" else ""))

    @rule(d=device, on=st.booleans())
    def rules(self, d: int, on: bool) -> None:
        (self.world.hold if on else self.world.let_go)(self.devices[d])

    # ---- the network, the clocks --------------------------------------------------------------

    @rule(d=device, met=faults)
    def exchange(self, d: int, met: list[str]) -> None:
        self.devices[d].exchange(*met)

    @rule(d=device, met=faults, first=st.integers(0, 4), n=pick, what=st.one_of(changes, st.just("rewrite")))
    def work_during_an_exchange(self, d: int, met: list[str], first: int, n: int, what: str) -> None:
        at = self.devices[d]
        at.exchange(*met, meanwhile=(first, lambda: self.do(at, n, what)))

    @rule(d=device, met=faults, first=st.integers(0, 4), n=pick, what=web)
    def on_the_web_page_during_an_exchange(self, d: int, met: list[str], first: int, n: int, what: str) -> None:
        at = self.devices[d]
        at.exchange(*met, meanwhile=(first, lambda: self.do_on_the_web(at.account, n, what)))

    @rule(d=device, ops=st.sampled_from([1, 2, 3, 500]))
    def turn_small_pages(self, d: int, ops: int) -> None:
        self.devices[d].turn(ops)

    @rule(d=device)
    def exchange_well(self, d: int) -> None:
        self.devices[d].exchange()

    @rule()
    def exchange_in_turn(self) -> None:
        for d in (0, 1, 0):
            self.devices[d].exchange()

    @precondition(lambda self: self.world.late)
    @rule(n=pick)
    def arrives_late(self, n: int) -> None:
        self.world.deliver(self.world.late[n % len(self.world.late)])

    @rule(ms=st.sampled_from([1, 5_000, 4_000_000]))
    def time_passes(self, ms: int) -> None:
        self.time.passed += ms

    @rule(d=device, ms=st.sampled_from([0, -86_400_000, -5_000, 30_000, 3_600_000]))
    def clock_jumps(self, d: int, ms: int) -> None:
        self.devices[d].jump(ms)

    # ---- disasters ----------------------------------------------------------------------------

    @rule(d=device)
    def restart(self, d: int) -> None:
        self.devices[d].restart()

    @rule(d=device)
    def copy_device(self, d: int) -> None:
        self.devices[d].snapshot()

    @rule(d=device)
    def put_device_back(self, d: int) -> None:
        if self.devices[d].copy is not None:
            self.world.roll_back(self.devices[d])

    @rule(a=st.integers(0, 1))
    def copy_server(self, a: int) -> None:
        self.world.back_up(self.accounts[a])

    @rule(a=st.integers(0, 1))
    def put_server_back(self, a: int) -> None:
        if self.accounts[a] in self.world.copies:
            self.world.put_back(self.accounts[a])

    # ---- what holds ---------------------------------------------------------------------------

    @invariant()
    def nothing_private_leaves(self) -> None:
        self.world.check_wire()
        self.world.check_local()

    def teardown(self) -> None:
        try:
            self.world.settle()
            self.world.check()
        finally:
            self.world.close()


def test_whatever_happens_they_agree_in_the_end(place: dict[str, Any]):
    run_state_machine_as_test(
        Sync,
        settings=settings(
            max_examples=TRACES, stateful_step_count=STEPS, deadline=None, database=None, derandomize=TRACES <= 8,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


# ---- each rule of the protocol switched off, one at a time -----------------------------------


@pytest.fixture
def world(place: dict[str, Any]) -> Iterator[World]:
    made = World(place["url"], place["tables"], place["folder"] / uuid.uuid4().hex, place["time"])
    yield made
    made.close()

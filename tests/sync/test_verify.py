"""A store and the real account are compared by their hash trees; whatever is made wrong on either side is named, and mended."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest

from hosted.db.engine import Database, driver
from hosted.ops import tree as hosted_tree
from jmem.core import outbox, rules, tree, treescan
from jmem.core.drafts import Draft
from jmem.core.rules import Rules
from jmem.core.store import Tx
from sync.protocol import Limits
from sync.verify import Verdict, verify
from tests.sync.conftest import ME, Device, Devices
from tests.sync.world import Tables


@pytest.fixture(scope="module")
def tables(owner_url: str) -> Iterator[Tables]:
    made = Tables(owner_url)
    yield made
    made.close()


def check(device: Device, *, fix: bool = False) -> Verdict:
    return verify(device.user.store, device.remote, device.exchange, fix=fix, purged=device.user.service.finish_purges)


def clean(*devices: Device) -> None:
    for device in devices:
        verdict = check(device)
        assert verdict.as_dict()["equal"], verdict
        assert verdict.local == verdict.hosted


def change(device: Device, sql: str, *values: Any) -> None:
    """Break something behind the program's back."""

    def run(tx: Tx) -> None:
        assert tx.conn.execute(sql, values).rowcount

    device.user.store.write(run)


def lived(devices: Devices) -> tuple[Device, Device, list[str]]:
    """Two devices with edits, a deleted memory and a forgotten one, and all ids that live."""
    a, b = devices.make(), devices.make()
    ids = [
        a.add(f"fact {n}", tags=("one", f"t{n}"), metadata={"n": n / 2, "ö": [1e16, {"z": None}]}) for n in range(12)
    ]
    gone, hidden = a.add("soon forgotten"), a.add("soon hidden")
    devices.settle()
    b.user.service.edit(ids[0], {"content": "another fact", "tags": ["two"]}, ME)
    a.user.service.edit(ids[0], {"content": "yet another fact"}, ME)
    a.user.service.delete(hidden, ME)
    b.user.service.purge(gone, ME)
    return a, b, [*ids, hidden]


def test_what_was_exchanged_is_equal(devices: Devices):
    a, b, ids = lived(devices)
    verdict = check(a)
    assert (verdict.local, verdict.hosted) == (14, 14)  # what b did is not there yet
    devices.settle()
    clean(a, b)
    assert check(b).local == len(ids)


def test_an_empty_store_is_equal(devices: Devices):
    assert check(devices.make()).as_dict() == {
        "equal": True, "local": 0, "hosted": 0, "differing": [], "differences": [], "mended": [],
    }  # fmt: skip


def test_what_waits_goes_first(devices: Devices):
    a = devices.make()
    a.add("not sent yet")
    assert check(a).as_dict()["hosted"] == 1


def test_private_and_held_memories_do_not_count(devices: Devices):
    a, b = devices.make(), devices.make()
    a.add("my diagnosis", privacy="local")
    shared = a.add("we share this")
    moved = a.add("my salary")
    devices.settle()
    rules.change(a.user.store, Rules(tags=("work",)))
    a.add("at work", tags=("work",))
    a.user.service.edit(shared, {"tags": ["work"]}, ME)
    a.user.service.edit(shared, {"content": "held back"}, ME)
    a.user.service.edit(moved, {"privacy": "local"}, ME)
    devices.settle()
    assert a.counts()["held"] == 3
    assert b.texts() == {shared: "we share this"}
    clean(a, b)
    assert check(a).local == 1


def test_an_id_that_stays_here_is_never_named(devices: Devices, tables: Tables, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(treescan, "place", lambda id: "abcd")
    monkeypatch.setattr(tree, "place", lambda id: "abcd")
    a = devices.make()
    a.add("my diagnosis", privacy="local")
    id = a.add("we share this")
    devices.settle()
    with a.user.store.reader() as conn:
        assert set(treescan.leaves(conn, ["abcd"])) == {id}


def test_a_row_whose_ops_are_gone_is_mended(devices: Devices):
    a, b, ids = lived(devices)
    devices.settle()
    change(a, "DELETE FROM ops WHERE memory_id = ?", ids[1])
    assert check(a, fix=True).as_dict()["equal"]
    clean(a, b)


def test_a_wrong_row_is_named_and_folded_anew(devices: Devices, tables: Tables):
    a, b, ids = lived(devices)
    devices.settle()
    change(a, "UPDATE memories SET content = 'wrong' WHERE id = ?", ids[3])
    change(a, "UPDATE memories SET tags = '[\"wrong\"]' WHERE id = ?", ids[4])
    change(a, "DELETE FROM memories WHERE id = ?", ids[5])
    tables.fetch("UPDATE jmem.memories SET deleted = true WHERE user_id = $1 AND id = $2", devices.account, ids[6])
    verdict = check(a)
    assert {one.id: one.what for one in verdict.differing} == dict.fromkeys(ids[3:7], "row")
    assert [one.id for one in check(b).differing] == [ids[6]]
    fixed = check(a, fix=True)
    assert (fixed.differing, sorted(fixed.mended)) == ([], sorted(ids[3:7]))
    clean(a, b)
    assert a.texts() == b.texts()
    assert a.user.service.get(ids[4], ME).tags == ("one", "t4")
    assert dict(a.user.service.tags(ME)).get("t4") == 1


def test_lost_ops_are_brought_back_on_either_side(devices: Devices, tables: Tables):
    a, b, ids = lived(devices)
    devices.settle()
    change(a, "DELETE FROM ops WHERE memory_id = ?", ids[1])
    change(a, "DELETE FROM memories WHERE id = ?", ids[1])
    change(
        a,
        "DELETE FROM ops WHERE memory_id = ? AND stamp = (SELECT MAX(stamp) FROM ops WHERE memory_id = ?)",
        ids[0],
        ids[0],
    )
    for table, column in (("ops", "memory_id"), ("memories", "id")):
        tables.fetch(f"DELETE FROM jmem.{table} WHERE user_id = $1 AND {column} = $2", devices.account, ids[2])
    verdict = check(a)
    assert {one.id: one.what for one in verdict.differing} == {
        ids[0]: "ops", ids[1]: "missing_here", ids[2]: "missing_there",
    }  # fmt: skip
    assert check(a, fix=True).as_dict()["equal"]
    devices.settle()
    clean(a, b)
    assert a.texts() == b.texts()
    assert a.counts()["offered"] == 0


def test_what_a_purge_left_is_taken_away(devices: Devices, tables: Tables):
    a, b = devices.make(), devices.make()
    id = a.add("the code is marigold")
    devices.settle()
    a.user.service.purge(id, ME)
    devices.settle()
    change(b, "DELETE FROM ops WHERE memory_id = ? AND json_extract(payload, '$.purge')", id)
    change(b, "DELETE FROM purged WHERE id = ?", id)
    assert [(one.id, one.what) for one in check(b).differing] == [(id, "ops")]
    assert check(b, fix=True).as_dict()["equal"]
    with b.user.store.reader() as conn:
        assert conn.execute("SELECT reached FROM purged WHERE id = ?", (id,)).fetchone() == (1,)
    clean(a, b)


def test_what_the_account_does_not_take_is_told_apart(devices: Devices):
    a = devices.make()
    id = a.add("fine")
    a.exchange()
    # another op under a stamp that is taken: nothing can mend that
    change(a, "UPDATE ops SET digest = 'sha256:wrong', sent = 0 WHERE memory_id = ?", id)
    found = check(a).differing
    assert [(one.id, one.what, one.waiting) for one in found] == [(id, "ops", 1)]
    assert [one.id for one in check(a, fix=True).differing] == [id]


def test_accounts_are_apart(devices: Devices):
    a = devices.make()
    id = a.add("mine")
    a.exchange()
    devices.account = uuid.uuid4()
    assert (a.remote.tree().nodes, a.remote.tree().memories) == ({}, 0)
    assert a.remote.tree([tree.place(id)]).leaves == []
    assert a.remote.logs_of([id]) == {id: []}
    assert a.remote.mend([id]) == []


@pytest.mark.parametrize("under", ["g0", "ab,abcd", "a", ",", ",".join(["ab"] * 513), "ab,abc"])
def test_a_part_of_the_tree_is_asked_well(devices: Devices, under: str):
    from sync.remote import Rejected

    a = devices.make()
    with pytest.raises(Rejected):
        a.remote.tree([under])


class Counting(httpx.BaseTransport):
    """Counts the calls, and answers some of them as an account does that was asked too much."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.calls: list[str] = []
        self.busy: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.rpartition("/")[2]
        self.calls.append(call)
        if call in self.busy:
            self.busy.remove(call)
            return httpx.Response(429, json={"code": "rate_limited"}, headers={"retry-after": "7"}, request=request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def many(devices: Devices, tables: Tables) -> tuple[Device, Counting, list[str]]:
    """A device and its account, in which 900 memories are not the same; half of them the account does not have."""
    wire = Counting()
    a = devices.make(transport=wire)
    ids = [
        done.memory.id
        for start in (0, 500)
        for done in a.user.service.add_many([Draft(f"fact {n}") for n in range(start, start + 500)], ME)
    ]
    a.exchange()
    for table, column in (("ops", "memory_id"), ("memories", "id")):
        tables.fetch(f"DELETE FROM jmem.{table} WHERE user_id = $1 AND {column} = ANY ($2)", devices.account, ids[:450])
    tables.fetch(
        "UPDATE jmem.memories SET state = 'paused' WHERE user_id = $1 AND id = ANY ($2)", devices.account, ids[450:900]
    )
    wire.calls.clear()
    return a, wire, ids


def test_many_differences_take_few_requests(many: tuple[Device, Counting, list[str]]):
    a, wire, ids = many
    found = check(a)
    assert {one.id: one.what for one in found.differing} == {
        **dict.fromkeys(ids[:450], "missing_there"), **dict.fromkeys(ids[450:900], "row"),
    }  # fmt: skip
    assert wire.calls.count("tree") <= 8, wire.calls
    wire.calls.clear()
    assert check(a, fix=True).as_dict()["equal"]
    assert len(wire.calls) <= 60, wire.calls
    assert wire.calls.count("log") <= 10


def test_it_waits_where_the_account_was_asked_too_much(many: tuple[Device, Counting, list[str]]):
    a, wire, _ids = many
    wire.busy = {"hello", "tree", "log", "mend"}
    waited: list[float] = []
    found = verify(a.user.store, a.remote, a.exchange, fix=True, wait=waited.append)
    assert (found.as_dict()["equal"], len(found.mended), waited) == (True, 900, [7.5] * 4)


def test_an_account_that_takes_less_at_once_is_asked_for_less(
    many: tuple[Device, Counting, list[str]], monkeypatch: pytest.MonkeyPatch
):
    a, wire, _ids = many
    monkeypatch.setattr("hosted.api.sync._LIMITS", Limits())  # as one says that has no larger ones
    assert len(check(a).differing) == 900
    assert wire.calls.count("tree") > 50


async def test_a_part_of_the_tree_is_of_one_moment(
    devices: Devices, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    a = devices.make()
    ids = [a.add(f"fact {n}") for n in range(30)]
    a.exchange()
    database = Database(database_url, pool_size=1)
    whole = await hosted_tree.part(database, devices.account)
    hashed = hosted_tree._hashed

    def meanwhile(records: Any) -> Any:
        """Another device's changes come between the ops and the last of the rows."""
        a.user.service.edit(ids[0], {"content": "meanwhile"}, ME)
        a.exchange()
        return hashed(records)

    monkeypatch.setattr(hosted_tree, "_hashed", meanwhile)
    monkeypatch.setattr(hosted_tree, "_AT_ONCE", 10)
    assert await hosted_tree.part(database, devices.account) == whole
    monkeypatch.undo()
    assert await hosted_tree.part(database, devices.account) != whole
    nodes = sorted({tree.place(id)[:2] for id in ids})
    below = (await hosted_tree.part(database, devices.account, nodes)).nodes
    few = await hosted_tree.part(database, devices.account, nodes[:3])
    assert few.nodes == {name: hex for name, hex in below.items() if name[:2] in nodes[:3]}
    await database.close()


async def test_what_is_in_a_bucket_is_found_by_an_index(devices: Devices, database_url: str, owner_url: str):
    a = devices.make()
    id = a.add("a fact")
    a.exchange()
    behind = await asyncpg.connect(owner_url)
    for table, told in (("ops", "memory_id"), ("memories", "id")):  # many more, in other buckets
        columns = [
            record[0]
            for record in await behind.fetch(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'jmem' AND table_name = $1"
                " AND is_generated = 'NEVER' AND is_identity = 'NO'",
                table,
            )
        ]
        new = {"stamp": "stamp || n", told: "gen_random_uuid()::text", "seq": "-n"}
        await behind.execute(
            f"INSERT INTO jmem.{table} ({', '.join(columns)}) SELECT {', '.join(new.get(one, one) for one in columns)}"
            f" FROM jmem.{table}, generate_series(1, 5000) n WHERE user_id = $1",
            devices.account,
        )
        await behind.execute(f"ANALYZE jmem.{table}")
    await behind.close()
    database = Database(database_url, pool_size=1)
    async with database.tenant(devices.account) as conn:  # as the role that requests run as
        raw = driver(conn)
        for query, bucket in ((hosted_tree._OPS, "bucket"), (hosted_tree._ROWS + hosted_tree._IN, "m.bucket")):
            asked = query.format(name="memory_id", some=hosted_tree._IN.format(bucket="bucket"), bucket=bucket)
            plan = await raw.fetch(f"EXPLAIN {asked}", devices.account, [tree.place(id)])
            assert "_bucket" in str(plan), plan
    await database.close()


def test_what_came_there_after_the_account_was_asked_is_not_missing(devices: Devices):
    a = devices.make()
    id = a.add("tea")
    a.exchange()
    with a.user.store.reader() as conn:
        seen = outbox.seen_of(conn, [id])
    theirs = a.remote.logs_of([id])[id]
    a.user.service.edit(id, {"content": "green tea"}, ME)
    a.exchange()
    outbox.mend(a.user.store, id, theirs, "sync", seen)
    assert a.counts()["offered"] == 0
    outbox.mend(a.user.store, id, [], "sync", seen)
    assert a.counts()["offered"] == 1


def test_a_scan_rests_as_long_as_it_works(devices: Devices, monkeypatch: pytest.MonkeyPatch):
    """Nobody else in the daemon waits for the interpreter while everything is hashed."""
    device = devices.make()
    for n in range(40):
        device.add(f"fact {n}")
    now, rested = 0.0, 0.0

    def work() -> float:
        nonlocal now
        now += treescan.BUSY_S / 4
        return now

    def rest(seconds: float) -> None:
        nonlocal now, rested
        now, rested = now + seconds, rested + seconds

    monkeypatch.setattr(treescan, "time", SimpleNamespace(perf_counter=work, sleep=rest))
    with device.user.store.reader() as conn:
        assert treescan.scan(conn).memories == 40
        assert rested > (now - rested) / 2
        now = rested = 0.0
        assert treescan.leaves(conn, ["0000"]) == {}
        assert rested > (now - rested) / 2

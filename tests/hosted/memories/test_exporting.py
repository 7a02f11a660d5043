"""Everything out of an account: as a device writes it, as `jmem import` takes it back, as it stood when it began."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from hosted.db.engine import Database
from hosted.memories import exporting
from hosted.memories.activity import Activity
from hosted.memories.service import Backend, Memories
from hosted.ops import feed
from hosted.ops.events import Bus
from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Refused
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.model import now_iso
from jmem.core.portable.exporting import export_jsonl, export_markdown
from jmem.core.portable.importing import import_items
from jmem.core.service import MemoryService
from jmem.core.store import Store, oplog

OWNER = Actor("cli")


@pytest.fixture
def mine(database: Database, user: uuid.UUID) -> Memories:
    return Backend(database, Bus(), activity=Activity(database)).of(user)


@pytest.fixture
def device(tmp_path: Path):  # type: ignore[no-untyped-def]
    store, access = Store.open(tmp_path), AccessLog(tmp_path)
    yield MemoryService(store, access)
    store.close()
    access.close()


async def lines(mine: Memories, filter: Filter = EVERYTHING, **named: object) -> list[str]:
    return [line async for line in mine.export(filter, OWNER, **named)]  # type: ignore[arg-type]


def written(device: MemoryService) -> str:
    """A store with something of everything; the id of what was edited most."""
    first = device.add(Draft("I prefer aisle seats", tags=("travel",), metadata={"a": 1.5}), OWNER).memory.id
    for n in range(30):
        device.edit(first, {"content": f"I prefer seat {n} " + "x" * 2000}, OWNER)
    device.add(Draft("over", expires_at="2020-01-01"), OWNER)
    device.add(Draft("waits", state="paused", thread="t", speaker="Ada", supersedes=first), OWNER)
    device.delete(device.add(Draft("gone"), OWNER).memory.id, OWNER)
    device.purge(device.add(Draft("forgotten for ever"), OWNER).memory.id, OWNER)
    return first


async def push(device: MemoryService, mine: Memories, database: Database) -> None:
    with device.store.reader() as conn:
        ids = [id for (id,) in conn.execute("SELECT DISTINCT memory_id FROM ops")]
        ops = [json.loads(op.text()) for id in ids for op in oplog.ops_of(conn, id)]
    outcomes = await feed.push(database, Bus(), mine.user_id, "laptop", ops)
    assert {outcome.code for outcome in outcomes} == {None}


@pytest.mark.parametrize("held", [4 << 20, 3_000])
async def test_the_lines_are_those_of_a_device_with_the_same_ops(
    device: MemoryService, mine: Memories, database: Database, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "HELD_BYTES", held)
    monkeypatch.setattr(exporting, "AT_ONCE", 2)
    monkeypatch.setattr("jmem.core.portable.jsonl.MAX_LINE_CHARS", 20_000)
    written(device)
    await push(device, mine, database)
    now = now_iso()
    whole = await lines(mine)
    assert whole == list(export_jsonl(device.store, EVERYTHING, now))
    assert len(whole) > 5  # the long history takes several
    for filter in (Filter(), Filter(states=("paused",)), Filter(tags=("travel",)), Filter(deleted=True, states=())):
        assert await lines(mine, filter) == list(export_jsonl(device.store, filter, now))
        assert await lines(mine, filter, history=False) == list(export_jsonl(device.store, filter, now, history=False))
        assert await lines(mine, filter, format="md") == list(export_markdown(device.store, filter, now))


async def test_an_import_takes_it_back_with_its_history(
    device: MemoryService, mine: Memories, database: Database
) -> None:
    id = (await mine.add(Draft("before", tags=("a",)), OWNER)).memory.id
    await mine.edit(id, {"content": "after"}, OWNER)
    await mine.purge((await mine.add(Draft("forgotten"), OWNER)).memory.id, OWNER)
    gone = (await mine.add(Draft("deleted"), OWNER)).memory.id
    await mine.delete(gone, OWNER)
    report = import_items(device, [json.loads(line) for line in await lines(mine)], OWNER)
    assert (report.added, report.skipped) == (3, [])  # what is left of the purged one is counted too
    assert [r.content for r in device.history(id, OWNER).revisions] == ["before", "after"]
    assert device.get(gone, OWNER, deleted=True).deleted
    assert list(export_jsonl(device.store, EVERYTHING, now_iso())) == await lines(mine)


async def test_it_is_of_the_moment_it_began_except_for_what_is_forgotten(
    mine: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "AT_ONCE", 1)
    ids = [(await mine.add(Draft(f"memory {n}"), OWNER)).memory.id for n in range(4)]
    export = mine.export(EVERYTHING, OWNER)
    seen = [json.loads(await anext(export))]
    await mine.edit(ids[1], {"content": "changed meanwhile"}, OWNER)
    await mine.delete(ids[2], OWNER)
    await mine.purge(ids[3], OWNER)
    await mine.add(Draft("new"), OWNER)
    seen += [json.loads(line) async for line in export]
    assert [(one["id"], one.get("content"), one.get("deleted")) for one in seen] == [
        (ids[0], "memory 0", False), (ids[1], "memory 1", False), (ids[2], "memory 2", False), (ids[3], None, None),
    ]  # fmt: skip
    assert seen[3]["purged"]
    assert "memory 3" not in str(seen)


async def test_only_who_sees_everything_may_and_it_is_recorded(mine: Memories) -> None:
    with pytest.raises(Refused):
        await anext(mine.export(EVERYTHING, Actor("claude", tags=("a",), owner=False)))
    await lines(mine, detail={"format": "jsonl", "tags": ["a"]})
    found = await mine.accesses(OWNER)
    assert [(a.client, a.what, a.detail) for a in found] == [
        ("cli", "export", {"format": "jsonl", "tags": ["a"]}), ("claude", "export", {"refused": "refused"}),
    ]  # fmt: skip

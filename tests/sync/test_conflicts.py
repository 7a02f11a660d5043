"""Two real stores of one account: which changes meet without a conflict, and how texts that were written apart are settled."""

from __future__ import annotations

import time

import pytest

from jmem.core.errors import Conflict, NotFound
from jmem.core.model import Op
from jmem.core.store import Tx, oplog
from tests.sync.conftest import ALL, ME, Device, Devices


def open_ones(device: Device) -> dict[str, list[str]]:
    """The texts of every conflict, the live one first."""
    found, cursor = device.user.service.conflicts(ME)
    assert cursor is None
    return {one.memory.id: [version.content for version in one.versions] for one in found}


def found_by(device: Device, word: str) -> list[str]:
    """What the words of a search lead to."""
    sql = "SELECT m.content FROM memory_fts f JOIN memories m ON m.rowid = f.rowid WHERE memory_fts MATCH ?"
    with device.user.store.reader() as conn:
        return [text for (text,) in conn.execute(sql, (word,))]


def apart(devices: Devices) -> tuple[Device, Device, str]:
    a, b = devices.make(), devices.make()
    id = a.add("tea", tags=("drinks",))
    devices.settle()
    a.user.service.edit(id, {"content": "green tea"}, ME)
    time.sleep(0.002)  # within one millisecond chance says which is the later one
    b.user.service.edit(id, {"content": "black tea"}, ME)
    devices.settle()
    return a, b, id


def test_both_sides_list_the_same_conflict_and_search_finds_the_winner(devices: Devices):
    a, b, id = apart(devices)
    for device in (a, b):
        assert open_ones(device) == {id: ["black tea", "green tea"]}
        assert found_by(device, "tea") == ["black tea"]
        assert found_by(device, "green") == []
        (found,), _ = device.user.service.conflicts(ME, id=id[-6:])
        assert [version.live for version in found.versions] == [True, False]


def test_each_machine_tells_which_text_is_its_own(devices: Devices):
    a, b, id = apart(devices)
    for device, where in ((a, ["elsewhere", "this machine"]), (b, ["this machine", "elsewhere"])):
        for found in (device.user.service.conflicts(ME), device.user.service.conflicts(ME, id=id)):
            assert [version.where for version in found[0][0].versions] == where


def test_who_reads_texts_written_apart_stands_in_the_log(devices: Devices):
    a, _, id = apart(devices)
    for one in (None, id):
        a.user.service.conflicts(ME, id=one)
    seen = a.user.service.accesses(ME, limit=2)
    assert [(access.what, [answer.id for answer in access.answers]) for access in seen] == [
        ("get", [id]),
        ("list", [id]),
    ]


@pytest.mark.parametrize(("number", "text"), [("1", "black tea"), ("2", "green tea")])
def test_one_is_kept_everywhere_and_undo_gives_the_other_back(devices: Devices, number: str, text: str):
    a, b, id = apart(devices)
    a.user.service.settle(id, ME, "keep", version=number)
    with a.user.store.reader() as conn:
        newest = oplog.ops_of(conn, id)[-1]
        assert (newest.set, len(newest.base)) == ({"content": text}, 2)
    devices.settle()
    for device in (a, b):
        assert (device.texts(), open_ones(device)) == ({id: text}, {})
    a.user.service.undo(ME)
    devices.settle()
    assert a.texts() == b.texts() == {id: "black tea"}
    assert open_ones(a) == open_ones(b) == {}


def test_both_are_kept_as_two_memories_and_undo_takes_the_second_away(devices: Devices):
    a, b, id = apart(devices)
    settled = b.user.service.settle(id, ME, "both")
    (other,) = settled.others
    assert (other.tags, other.content, settled.memory.content) == (("drinks",), "green tea", "black tea")
    devices.settle()
    assert a.texts() == b.texts() == {id: "black tea", other.id: "green tea"}
    b.user.service.undo(ME)
    devices.settle()
    assert a.texts() == {id: "black tea"}


def test_a_text_is_written_in_the_place_of_both(devices: Devices):
    a, b, id = apart(devices)
    (found,), _ = a.user.service.conflicts(ME)
    stamps = [version.stamp for version in found.versions]
    b.user.service.settle(id, ME, "keep", version="1")
    devices.settle()
    with pytest.raises(NotFound) as gone:
        a.user.service.settle(id, ME, "text", content="any tea", expected=stamps)
    assert gone.value.code == "no_conflict"
    b.user.service.edit(id, {"content": "white tea"}, ME)
    a.user.service.edit(id, {"content": "oolong"}, ME)
    devices.settle()
    with pytest.raises(Conflict) as changed:
        a.user.service.settle(id, ME, "text", content="any tea", expected=stamps)
    assert changed.value.code == "changed"
    a.user.service.settle(id, ME, "text", content="any tea")
    devices.settle()
    assert a.texts() == b.texts() == {id: "any tea"}
    assert open_ones(b) == {}


def test_any_later_edit_of_who_saw_both_settles_it(devices: Devices):
    a, b, id = apart(devices)
    b.user.service.edit(id, {"content": "no tea"}, ME)
    devices.settle()
    assert open_ones(a) == open_ones(b) == {}


def test_two_settle_it_apart_and_three_texts_are_one_conflict(devices: Devices):
    a, b, id = apart(devices)
    c = devices.make()
    devices.settle()
    a.user.service.settle(id, ME, "keep", version="1")
    b.user.service.settle(id, ME, "keep", version="2")
    c.user.service.edit(id, {"content": "coffee"}, ME)
    devices.settle()
    for device in (a, b, c):
        assert sorted(open_ones(device)[id]) == ["black tea", "coffee", "green tea"]
    c.user.service.settle(id, ME, "both")
    devices.settle()
    assert sorted(a.texts().values()) == sorted(b.texts().values()) == ["black tea", "coffee", "green tea"]
    assert open_ones(a) == {}


def test_the_same_text_written_twice_is_no_conflict(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    devices.settle()
    for device in (a, b):
        device.user.service.edit(id, {"content": "green tea"}, ME)
    devices.settle()
    assert open_ones(a) == open_ones(b) == {}
    with pytest.raises(NotFound):
        a.user.service.settle(id, ME, "keep", version="1")


# ---- what meets without a conflict ------------------------------------------------------------


def test_delete_against_edit_keeps_the_new_text_and_stays_deleted(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    devices.settle()
    a.user.service.delete(id, ME)
    b.user.service.edit(id, {"content": "green tea"}, ME)
    devices.settle()
    assert a.texts() == b.texts() == {}
    assert open_ones(a) == open_ones(b) == {}
    a.user.service.restore(id, ME)
    devices.settle()
    assert a.texts() == b.texts() == {id: "green tea"}


def test_a_deleted_conflict_is_not_listed_until_it_is_restored(devices: Devices):
    a, b, id = apart(devices)
    a.user.service.delete(id, ME)
    devices.settle()
    assert open_ones(a) == open_ones(b) == {}
    b.user.service.restore(id, ME)
    devices.settle()
    assert open_ones(a) == open_ones(b) == {id: ["black tea", "green tea"]}


@pytest.mark.parametrize("other", ["edit", "delete", "restore", "settle", "purge"])
def test_purge_wins_against_anything(devices: Devices, other: str):
    a, b, id = apart(devices)
    if other == "restore":
        a.user.service.delete(id, ME)
        devices.settle()
    a.user.service.purge(id, ME)
    service = b.user.service
    {
        "edit": lambda: service.edit(id, {"content": "marigold tea", "tags": ["new"]}, ME),
        "delete": lambda: service.delete(id, ME),
        "restore": lambda: service.restore(id, ME),
        "settle": lambda: service.settle(id, ME, "keep", version="2"),
        "purge": lambda: service.purge(id, ME),
    }[other]()
    devices.settle()
    for device in (a, b):
        assert (device.texts(), open_ones(device)) == ({}, {})
        with pytest.raises(NotFound):
            device.user.service.restore(id, ME)
    assert b"marigold" not in (b.user.folder / "memories.db").read_bytes()


def test_restore_against_edit_and_tags_against_content_merge(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    devices.settle()
    a.user.service.delete(id, ME)
    devices.settle()
    a.user.service.restore(id, ME)
    b.user.service.restore(id, ME)
    b.user.service.edit(id, {"tags": ["drinks"]}, ME)
    a.user.service.edit(id, {"content": "green tea"}, ME)
    devices.settle()
    for device in (a, b):
        memory = device.user.service.get(id, ME)
        assert (memory.content, memory.tags) == ("green tea", ("drinks",))
        assert open_ones(device) == {}


def test_edits_of_one_after_the_other_are_no_conflict(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    for n in range(3):
        devices.settle()
        (a, b)[n % 2].user.service.edit(id, {"content": f"tea {n}"}, ME)
    devices.settle()
    assert open_ones(a) == open_ones(b) == {}


# ---- the list ---------------------------------------------------------------------------------


def test_an_older_store_finds_its_conflicts_when_it_is_opened(devices: Devices):
    a, _, id = apart(devices)
    settled = a.add("one")
    a.user.service.edit(settled, {"content": "two"}, ME)
    from jmem.core.store.schema import _V3

    def run(tx: Tx) -> list[str]:
        tx.conn.execute("DROP TABLE conflicts")
        for statement in _V3.sql:
            tx.conn.execute(statement)
        return [found for (found,) in tx.conn.execute("SELECT id FROM conflicts")]

    assert a.user.store.write(run) == [id]


def test_conflicts_are_found_without_reading_every_op(devices: Devices):
    from jmem.core.drafts import Draft

    a = devices.make()
    for start in range(0, 5000, 1000):
        a.user.service.add_many([Draft(f"fact {n}") for n in range(start, start + 1000)], ME)
    id = a.user.service.list(ALL, ME, limit=1).memories[0].id
    (first,) = _ops(a, id)
    other = Op("000000000001-0000-00000000", id, {"content": "apart"}, (), "elsewhere", "n").sealed()
    a.user.service.apply_ops([other], ME)
    began = time.perf_counter()
    for _ in range(20):
        assert open_ones(a) == {id: [first.set["content"], "apart"]}
    assert (time.perf_counter() - began) / 20 < 0.02
    with a.user.store.reader() as conn:
        plan = " ".join(row[3] for row in conn.execute("EXPLAIN QUERY PLAN " + _page(), ("", 51)))
    assert "SCAN m" not in plan
    assert "TEMP B-TREE" not in plan


def _ops(device: Device, id: str) -> list[Op]:
    with device.user.store.reader() as conn:
        return oplog.ops_of(conn, id)


def _page() -> str:
    from jmem.core import conflicts

    return conflicts._PAGE

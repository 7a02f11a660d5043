"""Stores exchange with the real account."""

from __future__ import annotations

import time

import pytest

from jmem.core import outbox, rules
from jmem.core.errors import Conflict, Invalid
from jmem.core.portable.importing import import_items
from jmem.core.rules import Rules
from tests.sync.conftest import ME, Devices


def test_what_one_device_tells_another_one_knows(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("I prefer aisle seats", tags=("travel",))
    a.exchange()
    b.exchange()
    assert b.texts() == {id: "I prefer aisle seats"}
    assert a.counts()["seen"] == 1
    assert a.log() == b.log()


def test_nothing_is_asked_twice(devices: Devices):
    a = devices.make()
    a.add("once")
    assert a.exchange().sent == 1
    again = a.exchange()
    assert (again.sent, again.received, again.waiting) == (0, 0, 0)


def test_edits_of_both_meet_by_field(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    devices.settle()
    a.user.service.edit(id, {"content": "green tea"}, ME)
    b.user.service.edit(id, {"tags": ["drinks"]}, ME)
    devices.settle()
    for device in (a, b):
        memory = device.user.service.get(id, ME)
        assert (memory.content, memory.tags) == ("green tea", ("drinks",))
        assert len(device.user.service.history(id, ME).heads) == 1


def test_two_edits_of_a_text_are_kept_as_two_heads(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    devices.settle()
    a.user.service.edit(id, {"content": "green tea"}, ME)
    time.sleep(0.002)  # within one millisecond the nodes decide, which are random
    b.user.service.edit(id, {"content": "black tea"}, ME)
    devices.settle()
    assert a.texts() == b.texts() == {id: "black tea"}
    assert len(a.user.service.history(id, ME).heads) == 2


def test_a_purge_reaches_every_device_and_nothing_comes_back(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("the code is marigold")
    devices.settle()
    b.user.service.edit(id, {"content": "the code is marigold too"}, ME)
    a.user.service.purge(id, ME)
    devices.settle()
    assert a.texts() == b.texts() == {}
    for device in (a, b):
        assert b"marigold" not in (device.user.folder / "memories.db").read_bytes()


def test_more_than_one_page_goes_both_ways(devices: Devices):
    a, b = devices.make(), devices.make()
    for number in range(0, 1200, 400):
        from jmem.core.drafts import Draft

        a.user.service.add_many([Draft(f"fact {n}") for n in range(number, number + 400)], ME)
    a.exchange()
    told: list[tuple[int, int]] = []
    b.engine._tell = lambda progress: told.append((progress.received, progress.coming))
    b.exchange()
    assert (500, 700) in told, "how much is still to come"
    assert told[-1] == (1200, 0)
    assert len(b.texts()) == 1000
    assert a.log() == b.log()
    assert a.counts() == {"new": 0, "seen": 1200, "local": 0, "held": 0, "offered": 0}


def test_local_memories_stay(devices: Devices):
    a, b = devices.make(), devices.make()
    kept = a.add("my diagnosis", privacy="local")
    moved = a.add("my salary")
    devices.settle()
    assert set(b.texts()) == {moved}
    a.user.service.edit(kept, {"tags": ["health"]}, ME)
    a.user.service.edit(moved, {"privacy": "local"}, ME)
    devices.settle()
    assert b.texts() == {}
    assert sorted(a.texts().values()) == ["my diagnosis", "my salary"]
    a.user.service.purge(kept, ME)
    devices.settle()
    assert a.counts()["local"] == 4
    outbox.begin_again(a.user.store)
    devices.settle()
    assert b.texts() == {}
    assert a.counts()["local"] == 4


def test_rules_hold_back_and_let_go(devices: Devices):
    a, b = devices.make(), devices.make()
    rules.change(a.user.store, Rules(tags=("work",), clients=("cursor",), folders=("/home/me/notes",)))
    free = a.add("free")
    work = a.add("at work", tags=("work",))
    note = a.add("a note", source="file:///home/me/notes/today.md")
    clip = {"path": "clip.md", "text": "---\nsource: https://example.org\n---\nof a page"}
    plain, files = {"path": "plain.md", "text": "one of many"}, ["/home/me/notes/clip.md", "/home/me/notes/plain.md"]
    assert import_items(a.user.service, [clip, plain], ME, format="md", files=files).added == 2
    other = a.add("elsewhere", source="/home/me/notes2/today.md")
    devices.settle()
    assert set(b.texts()) == {free, other}
    assert a.counts()["held"] == 4
    imported = {id for id, text in a.texts().items() if text in ("of a page", "one of many")}
    moved = set()
    for id in imported:
        private = a.user.service.edit(id, {"privacy": "local"}, ME).memory.id
        moved.add(a.user.service.edit(private, {"privacy": "synced"}, ME).memory.id)
    a.user.service.edit(work, {"tags": []}, ME)
    devices.settle()
    assert set(b.texts()) == {free, other, work}
    rules.change(a.user.store, Rules())
    devices.settle()
    assert set(b.texts()) == {free, other, work, note, *moved}
    assert a.log() == b.log()


@pytest.mark.parametrize(
    ("rule", "tag"), [("work", "Work"), ("Work", "WORK"), ("straße", "STRASSE"), ("Äpfel", "äpfel")]
)
def test_a_rule_holds_back_a_tag_in_letters_of_another_case(devices: Devices, rule: str, tag: str):
    a, b = devices.make(), devices.make()
    rules.change(a.user.store, Rules(tags=(rule,)))
    a.add("kept", tags=("food", tag))
    goes = a.add("goes", tags=("works", "food"))
    with a.user.store.reader() as conn:
        assert outbox.preview(conn, 0, anew=True)["held"] == 1
    devices.settle()
    assert set(b.texts()) == {goes}
    assert a.counts()["held"] == 1


def test_what_came_from_a_kept_folder_stays_whatever_comes_after(devices: Devices):
    a, b = devices.make("a"), devices.make("b")
    rules.change(a.user.store, Rules(folders=("/home/me/notes",)))

    def read(file: str, text: str) -> int:
        item = {"path": file.rpartition("/")[2], "text": text}
        return import_items(a.user.service, [item], ME, format="md", files=[file]).duplicates

    read("/home/me/notes/kept.md", "a secret of mine")
    (kept,) = a.texts()
    assert read("/home/me/elsewhere/kept.md", "a secret of mine") == 1
    a.user.service.edit(kept, {"tags": ["t"]}, ME)
    free = a.add("of no file")
    devices.settle()
    assert set(b.texts()) == {free}
    a.user.service.merge(free, kept, ME, content="of no file, and a secret of mine")
    devices.settle()
    assert b.texts() == {free: "of no file"}
    older = a.add("imported before it was noted where from")
    devices.settle()
    assert read("/home/me/notes/older.md", f"---\nid: {older}\n---\nimported before it was noted where from") == 1
    a.user.service.edit(older, {"content": "and kept since it was imported again"}, ME)
    devices.settle()
    assert b.texts()[older] == "imported before it was noted where from"


def test_a_store_belongs_to_one_account(devices: Devices):
    a = devices.make()
    outbox.bind(a.user.store, "one")
    outbox.bind(a.user.store, "one")
    with pytest.raises(Conflict) as caught:
        outbox.bind(a.user.store, "two")
    assert caught.value.code == "bound"


@pytest.mark.parametrize("off_ms", [-86_400_000, 3_600_000])
def test_a_clock_that_is_off_is_set_right(devices: Devices, off_ms: int, monkeypatch: pytest.MonkeyPatch):
    a, b = devices.make(), devices.make()
    id = b.add("right")
    devices.settle()
    from jmem.core import clock

    real = clock.wall_ms
    a.user.store.write(lambda tx: setattr(tx.clock, "offset_ms", off_ms))
    wrong = a.add("written by a clock that is off")
    a.user.service.edit(id, {"content": "changed by it"}, ME)
    a.exchange()
    b.exchange()
    assert b.texts() == {id: "changed by it", wrong: "written by a clock that is off"}
    assert a.log() == b.log()
    assert all(abs(clock.stamp_ms(stamp) - real()) < 120_000 for stamp in a.log())


def test_what_a_rule_held_back_goes_once_another_machine_takes_the_tag_away(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("tea")
    devices.settle()
    rules.change(a.user.store, Rules(tags=("work",)))
    a.user.service.edit(id, {"tags": ["work"]}, ME)
    a.user.service.edit(id, {"content": "green tea"}, ME)
    devices.settle()
    assert b.texts() == {id: "tea"}
    b.user.service.edit(id, {"tags": ["drinks"]}, ME)
    devices.settle()
    assert a.texts() == b.texts() == {id: "green tea"}
    assert a.log() == b.log()


def test_what_is_synced_never_names_what_stays_here(devices: Devices):
    a = devices.make()
    old, kept = a.add("tea"), a.add("my diagnosis", privacy="local")
    new = a.add("green tea", supersedes=old)
    below = a.add("my newer diagnosis", privacy="local", supersedes=kept)
    service = a.user.service
    for write in (
        lambda: a.add("about it", supersedes=kept),
        lambda: service.edit(new, {"supersedes": kept}, ME),
    ):
        with pytest.raises(Invalid) as caught:
            write()
        assert caught.value.code == "privacy_differs"
    hidden = service.edit(old, {"privacy": "local"}, ME).memory.id
    shown = service.edit(below, {"privacy": "synced"}, ME).memory
    assert (service.get(new, ME).supersedes, shown.supersedes) == (None, None)
    with a.user.store.reader() as conn:
        leaves = "".join(text for (text,) in conn.execute("SELECT payload FROM ops WHERE sent <> 2"))
    assert hidden not in leaves
    assert kept not in leaves

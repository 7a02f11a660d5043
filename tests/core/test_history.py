from __future__ import annotations

import pytest

from jmem.core.errors import Invalid, NotFound
from jmem.core.model import Op, new_nonce
from jmem.core.service import Actor, Draft, MemoryService

ME = Actor("cli")


def test_every_revision_with_the_content_after_it(service: MemoryService):
    id = service.add(Draft("a", tags=("x",)), ME).memory.id
    service.edit(id, {"content": "b"}, Actor("claude"))
    service.edit(id, {"add_tags": ["y"]}, ME)
    service.edit(id, {"state": "archived"}, ME)
    service.edit(id, {"state": "paused"}, ME)
    service.edit(id, {"state": "active"}, ME)
    service.delete(id, ME)
    service.restore(id, ME)
    service.undo(ME)
    history = service.history(id[-6:], ME)
    assert history.id == id
    assert [(r.rev, r.kind, r.content) for r in history.revisions] == [
        (1, "add", "a"), (2, "edit", "b"), (3, "tag", "b"), (4, "archive", "b"), (5, "pause", "b"), (6, "resume", "b"),
        (7, "delete", "b"), (8, "restore", "b"), (9, "undo", "b"),
    ]  # fmt: skip
    assert history.revisions[1].client == "claude"
    assert history.revisions[1].set == {"content": "b"}
    assert history.revisions[1].at.startswith("20")
    assert history.heads == (history.revisions[1].stamp,)


def test_a_conflict_shows_as_two_heads_until_an_edit_that_saw_both(service: MemoryService):
    memory = service.add(Draft("a"), ME).memory
    other = f"{memory.version[:12]}-0f00-aaaaaaaa"
    service.apply_ops([Op(other, memory.id, {"content": "theirs"}, (), "x", new_nonce()).sealed()], ME, kind="sync")
    assert service.history(memory.id, ME).heads == (memory.version, other)
    newest = service.edit(memory.id, {"content": "both"}, ME).memory.version
    assert service.history(memory.id, ME).heads == (newest,)


def test_the_log_goes_back_page_by_page(service: MemoryService):
    ids = [service.add(Draft(f"memory number {n}"), Actor("claude" if n % 2 else "cli")).memory.id for n in range(7)]
    service.add(Draft("memory number 3"), ME)  # a duplicate is no action
    seen, cursor = [], None
    while True:
        entries, cursor = service.log(ME, limit=3, cursor=cursor)
        seen += entries
        if cursor is None:
            break
    assert [e.ids for e in seen] == [[id] for id in reversed(ids)]
    assert seen[0].preview == "memory number 6"
    assert {e.client for e in service.log(ME, client="claude")[0]} == {"claude"}
    assert len(service.log(ME, id=ids[2][-8:])[0]) == 1
    assert service.log(ME, since="2999-01-01")[0] == []
    assert len(service.log(ME, since="2020-01-01")[0]) == 7
    for bad in ({"cursor": "x"}, {"limit": 0}, {"since": "soon"}):
        with pytest.raises(Invalid):
            service.log(ME, **bad)
    with pytest.raises(NotFound):
        service.log(ME, id="ffffffff")


def test_the_log_names_what_was_undone_and_cuts_long_texts(service: MemoryService):
    service.add(Draft("line one\n\n   line two " + "x" * 500), ME)
    service.undo(ME)
    undo, add = service.log(ME)[0]
    assert (undo.kind, add.undone) == ("undo", undo.action)
    assert add.preview.startswith("line one line two xxx")
    assert len(add.preview) == 80
    assert add.preview.endswith("…")


def test_the_log_shows_each_text_as_it_was_then(service: MemoryService):
    id = service.add(Draft("one"), ME).memory.id
    service.edit(id, {"tags": ["x"]}, ME)
    service.edit(id, {"content": "two"}, ME)
    service.delete(id, ME)
    service.restore(id, ME)
    service.edit(id, {"content": "three"}, ME)
    assert [(e.kind, e.preview) for e in service.log(ME)[0]] == [
        ("edit", "three"), ("restore", "two"), ("delete", "two"), ("edit", "two"), ("tag", "one"), ("add", "one"),
    ]  # fmt: skip


def test_a_change_of_privacy_is_told_of_the_new_id(service: MemoryService):
    old = service.add(Draft("secret plan"), ME).memory.id
    new = service.edit(old, {"privacy": "local"}, ME).memory.id
    with pytest.raises(NotFound, match=f"it is {new} now") as caught:
        service.history(old, ME)
    assert caught.value.detail["replaced_by"] == new
    assert [(r.kind, r.content) for r in service.history(new, ME).revisions] == [("privacy", "secret plan")]
    entry = service.log(ME, id=new)[0][0]
    assert (entry.kind, entry.ids, entry.preview) == ("privacy", [new, old], "secret plan")


def test_a_purged_memory_leaves_its_actions_without_text(service: MemoryService):
    id = service.add(Draft("secret plan"), ME).memory.id
    service.purge(id, ME)
    entries, _ = service.log(ME)
    assert [(e.kind, e.preview) for e in entries] == [("purge", "(forgotten)"), ("add", "(forgotten)")]


def test_a_large_action_names_its_first_ids_and_the_count(service: MemoryService):
    service.add_many([Draft(f"memory {n}") for n in range(150)], ME, kind="import")
    (entry,), _ = service.log(ME)
    assert (entry.kind, entry.count, len(entry.ids)) == ("import", 150, 100)

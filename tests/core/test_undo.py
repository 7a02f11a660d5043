from __future__ import annotations

import pytest

from jmem.core import revert
from jmem.core.errors import Invalid, NotFound
from jmem.core.filter import Filter
from jmem.core.model import Op, new_id, new_nonce, now_iso
from jmem.core.service import Actor, Draft, MemoryService
from tests.core.conftest import User

ME = Actor("cli")
CURSOR = Actor("cursor")


def add(service: MemoryService, text: str, **more) -> str:
    return service.add(Draft(text, **more), ME).memory.id


def text(service: MemoryService, id: str) -> str:
    return service.get(id, ME).content


def live(service: MemoryService) -> list[str]:
    return [m.content for m in service.list(Filter(states=()), ME, sort="created").memories]


def test_an_edit_is_taken_back_and_repeated(service: MemoryService):
    id = add(service, "a", tags=("x",), metadata={"k": 1})
    service.edit(id, {"content": "b", "tags": [], "metadata": {}, "thread": "t", "occurred_at": "2023-01-01"}, ME)
    report = service.undo(ME)
    assert [(u.kind, u.ids) for u in report.undone] == [("edit", [id])]
    memory = service.get(id, ME)
    assert (memory.content, memory.tags, memory.metadata, memory.thread, memory.occurred_at) == (
        "a",
        ("x",),
        {"k": 1},
        None,
        None,
    )
    report = service.undo(ME, redo=True)
    assert [(u.kind, u.ids) for u in report.undone] == [("edit", [id])]
    memory = service.get(id, ME)
    assert (memory.content, memory.tags, memory.thread) == ("b", (), "t")


def test_many_levels_down_and_up_again(service: MemoryService):
    id = add(service, "a")
    for word in "bcd":
        service.edit(id, {"content": word}, ME)
    assert [u.kind for u in service.undo(ME, n=2).undone] == ["edit", "edit"]
    assert text(service, id) == "b"
    service.undo(ME)
    assert text(service, id) == "a"
    service.undo(ME)
    assert live(service) == []
    assert service.undo(ME).undone == []
    for expected in "abcd":
        service.undo(ME, redo=True)
        assert text(service, id) == expected
    assert service.undo(ME, redo=True).undone == []
    service.undo(ME, n=4)
    service.undo(ME, n=4, redo=True)
    assert text(service, id) == "d"


def test_a_delete_and_a_restore_are_taken_back(service: MemoryService):
    id = add(service, "a")
    service.delete(id, ME)
    service.undo(ME)
    assert text(service, id) == "a"
    service.undo(ME, redo=True)
    with pytest.raises(NotFound):
        service.get(id, ME)
    service.restore(id, ME)
    service.undo(ME)
    with pytest.raises(NotFound):
        service.get(id, ME)


def test_one_command_is_one_step(service: MemoryService):
    service.add_many([Draft("a"), Draft("b"), Draft("c")], ME)
    ids = [m.id for m in service.list(Filter(), ME).memories]
    service.delete(ids, ME)
    assert live(service) == []
    assert sorted(service.undo(ME).undone[0].ids) == sorted(ids)
    assert live(service) == ["a", "b", "c"]
    service.undo(ME)
    assert live(service) == []


def test_what_was_changed_since_is_left_alone_and_named(service: MemoryService):
    """Another machine's op, which is not the newest action here, holds the field."""
    id = add(service, "a", tags=("x",))
    far = f"{service.store.write(lambda tx: tx.clock.tick())[:8]}ffff-0000-aaaaaaaa"
    service.apply_ops([Op(far, id, {"content": "theirs"}, (), "other", new_nonce()).sealed()], ME, kind="sync")
    # the clock has seen that stamp, so an edit of ours comes after it
    service.edit(id, {"tags": ["y"]}, ME)
    report = service.undo(ME, n=2)
    assert [u.kind for u in report.undone] == ["tag", "add"]
    assert report.skipped == [(id, "content changed since")]
    memory = service.get(id, ME)
    assert (memory.content, memory.tags) == ("theirs", ("x",))
    assert service.undo(ME).undone == []  # nothing is offered twice


def test_part_of_an_edit_can_be_taken_back(service: MemoryService):
    id = add(service, "a")
    service.edit(id, {"content": "b", "tags": ["y"]}, ME)
    stamp = f"{service.get(id, ME).version[:12]}-fff0-aaaaaaaa"
    service.apply_ops([Op(stamp, id, {"tags": ["z"]}, (), "other", new_nonce()).sealed()], ME, kind="sync")
    report = service.undo(ME)
    assert report.skipped == [(id, "tags changed since")]
    assert report.undone[0].ids == [id]
    memory = service.get(id, ME)
    assert (memory.content, memory.tags) == ("a", ("z",))


def test_a_purge_is_no_step_and_is_named(service: MemoryService):
    add(service, "first")
    gone = add(service, "gone")
    add(service, "second")
    service.purge(gone, ME)
    for dry_run in (True, False):
        report = service.undo(ME, dry_run=dry_run)
        assert [u.kind for u in report.undone] == ["add"]
        assert report.skipped == [(gone, "forgotten for ever")]
    assert live(service) == ["first"]
    report = service.undo(ME)  # past the adding of what is gone too
    assert (len(report.undone), report.skipped) == (1, [(gone, "forgotten for ever")])
    assert live(service) == []
    report = service.undo(ME)
    assert (report.undone, report.skipped) == ([], [(gone, "forgotten for ever")])
    service.undo(ME, n=2, redo=True)
    assert live(service) == ["first", "second"]


def test_a_repeated_purge_is_no_step(user: User):
    gone, kept = add(user.service, "gone"), add(user.service, "kept")
    (user.folder / "purged.jsonl").write_text(f'{{"id": "{gone}", "at": "2026-01-01T00:00:00Z"}}\n')
    assert user.service.replay_purges() == [gone]
    report = user.service.undo(ME)
    assert [u.ids for u in report.undone] == [[kept]]
    assert report.skipped == [(gone, "forgotten for ever")]


def test_a_redo_steps_over_what_was_purged_since(service: MemoryService):
    one, two = add(service, "one"), add(service, "two")
    service.undo(ME, n=2)
    service.purge(one, ME)
    report = service.undo(ME, redo=True)
    assert ([u.ids for u in report.undone], report.skipped) == ([[two]], [(one, "forgotten for ever")])


def test_a_change_of_privacy_is_no_step_and_names_the_living(service: MemoryService):
    add(service, "before")
    old = add(service, "moved")
    service.edit(old, {"content": "moved on"}, ME)
    new = service.edit(old, {"privacy": "local"}, ME).memory.id
    newest = service.edit(new, {"privacy": "synced"}, ME).memory.id
    report = service.undo(ME)
    assert report.skipped == [(newest, "its privacy changed; that can't be taken back")]
    assert [u.kind for u in report.undone] == ["add"]
    assert live(service) == ["moved on"]
    service.purge(newest, ME)
    assert service.undo(ME).skipped == [(newest, "forgotten for ever")]


def test_a_dry_run_tells_and_changes_nothing(user: User):
    id = add(user.service, "a")
    user.service.edit(id, {"content": "b"}, ME)
    before, seq = user.rows(), user.store.last_seq
    report = user.service.undo(ME, n=2, dry_run=True)
    assert [u.kind for u in report.undone] == ["edit", "add"]
    assert user.rows() == before
    assert user.store.last_seq == seq
    assert [u.kind for u in user.service.undo(ME).undone] == ["edit"]


def test_an_import_with_history_is_taken_back(service: MemoryService):
    ops = [
        Op(f"0199f3a1c2d4-{n:04x}-a1b2c3d4", new_id(), {"content": f"m{n}"}, (), "x", new_nonce()).sealed()
        for n in range(3)
    ]
    service.apply_ops(ops, ME)
    service.undo(ME)
    assert live(service) == []
    service.undo(ME, redo=True)
    assert sorted(live(service)) == ["m0", "m1", "m2"]


def test_unknown_fields_are_taken_back_too(user: User):
    id = add(user.service, "a")
    base = user.service.get(id, ME).version[:12]
    ops = [
        Op(f"{base}-{n:04x}-aaaaaaaa", id, {"colour": c}, (), "x", new_nonce()).sealed()
        for n, c in ((0x10, "red"), (0x11, "blue"))
    ]
    user.service.apply_ops(ops[:1], ME)
    user.service.apply_ops(ops[1:], ME)
    user.service.undo(ME)
    with user.store.reader() as conn:
        assert conn.execute("SELECT extra FROM memories").fetchone() == ('{"colour":"red"}',)


def test_an_archive_is_taken_back(service: MemoryService):
    id = add(service, "a")
    for state, kind in (("paused", "pause"), ("archived", "archive"), ("active", "resume")):
        service.edit(id, {"state": state}, ME)
        assert service.log(ME, limit=1)[0][0].kind == kind
    assert [u.kind for u in service.undo(ME, n=3).undone] == ["resume", "archive", "pause"]
    assert service.get(id, ME).state == "active"


@pytest.mark.parametrize("n", [0, -1, 1001, True, "2"])
def test_how_many_is_checked(service: MemoryService, n):
    with pytest.raises(Invalid):
        service.undo(ME, n=n)


def test_nothing_to_undo(service: MemoryService):
    report = service.undo(ME)
    assert (report.undone, report.skipped) == ([], [])
    assert service.undo(ME, redo=True).undone == []


# ---- all that a program did -------------------------------------------------------------------


def test_what_a_program_did_is_one_step(service: MemoryService):
    mine = add(service, "mine", tags=("x",))
    theirs = [service.add(Draft(f"theirs {n}"), CURSOR).memory.id for n in range(3)]
    service.edit(mine, {"content": "rewritten", "tags": ["y"]}, CURSOR)
    service.delete(mine, CURSOR)
    later = add(service, "mine too")
    planned = service.undo(ME, client="cursor", dry_run=True)
    assert live(service) == ["theirs 0", "theirs 1", "theirs 2", "mine too"]
    report = service.undo(ME, client="cursor")
    assert report == planned
    assert [u.kind for u in report.undone] == ["delete", "edit", "add", "add", "add"]
    assert live(service) == ["mine", "mine too"]
    assert service.get(mine, ME).tags == ("x",)
    assert {c.id: (c.preview, c.before, c.after) for c in report.changes} == {
        mine: (
            "rewritten",
            {"content": "rewritten", "tags": ["y"], "deleted": True},
            {"content": "mine", "tags": ["x"], "deleted": False},
        ),
        **{id: (f"theirs {n}", {"deleted": False}, {"deleted": True}) for n, id in enumerate(theirs)},
    }
    assert len(service.history(mine, ME).revisions) == 4  # one op gives it back, not one for each action
    assert service.undo(ME, client="cursor").undone == []
    again = service.undo(ME, redo=True)
    assert [u.kind for u in again.undone] == [u.kind for u in report.undone]
    assert live(service) == ["theirs 0", "theirs 1", "theirs 2", "mine too"]
    service.undo(ME)  # the newest action is nobody's but mine
    assert service.get(theirs[0], ME).content == "theirs 0"
    with pytest.raises(NotFound):
        service.get(later, ME)


def test_what_others_set_in_between_comes_back(service: MemoryService):
    id = add(service, "a")
    for text_, who in (("b", CURSOR), ("c", ME), ("d", CURSOR)):
        service.edit(id, {"content": text_}, who)
    report = service.undo(ME, client="cursor")
    assert (text(service, id), report.skipped) == ("c", [])
    assert [(c.before, c.after) for c in report.changes] == [({"content": "d"}, {"content": "c"})]
    service.undo(ME, redo=True)
    assert text(service, id) == "d"


def test_an_undo_in_between_does_not_count(service: MemoryService):
    id = add(service, "a")
    service.edit(id, {"content": "b"}, CURSOR)
    service.edit(id, {"content": "c"}, CURSOR)
    service.undo(ME)
    service.edit(id, {"content": "d"}, CURSOR)
    service.undo(ME, client="cursor")
    assert text(service, id) == "a"
    service.undo(ME, redo=True)
    assert text(service, id) == "d"
    service.undo(ME, redo=True)  # "c" was taken back before "d" was written
    assert text(service, id) == "d"


def test_what_i_rewrote_of_what_it_added_stays_whole(service: MemoryService):
    id = service.add(Draft("theirs", tags=("x",), thread="t"), CURSOR).memory.id
    gone = service.add(Draft("theirs alone"), CURSOR).memory.id
    service.edit(id, {"content": "mine now"}, ME)
    service.edit(id, {"content": "theirs again", "tags": ["y"]}, CURSOR)
    report = service.undo(ME, client="cursor")
    assert report.skipped == [(id, "content changed since")]
    memory = service.get(id, ME)
    assert (memory.content, memory.tags, memory.thread) == ("mine now", ("x",), "t")
    with pytest.raises(NotFound):
        service.get(gone, ME)


def test_a_redo_leaves_what_i_deleted_deleted(service: MemoryService):
    kept = service.add(Draft("kept"), CURSOR).memory.id
    removed = service.add(Draft("removed"), CURSOR).memory.id
    service.delete(removed, ME)
    assert [c.id for c in service.undo(ME, client="cursor").changes] == [kept]
    service.undo(ME, redo=True)
    assert live(service) == ["kept"]


def test_since_a_moment_whoever_it_was(service: MemoryService):
    add(service, "before")
    moment = service.log(ME)[0][0].at
    while now_iso() <= moment:
        pass
    moment = now_iso()
    service.add(Draft("theirs"), CURSOR)
    add(service, "mine")
    service.add(Draft("another"), Actor("claude"))
    assert {u.client for u in service.undo(ME, since=moment, dry_run=True).undone} == {"cli", "cursor", "claude"}
    assert [u.client for u in service.undo(ME, client="cursor", since=moment).undone] == ["cursor"]
    assert live(service) == ["before", "mine", "another"]
    service.undo(ME, since=moment)
    assert live(service) == ["before"]
    service.undo(ME, redo=True, n=2)
    assert live(service) == ["before", "theirs", "mine", "another"]
    assert service.undo(ME, client="cursor", since="2999-01-01T00:00:00Z").undone == []


def test_nothing_beyond_what_was_agreed_to(service: MemoryService):
    service.add(Draft("one"), CURSOR)
    preview = service.undo(ME, client="cursor", dry_run=True)
    service.add(Draft("added while the question stood"), CURSOR)
    service.undo(ME, client="cursor", upto=preview.undone[0].action)
    assert live(service) == ["added while the question stood"]


def test_a_group_names_what_is_gone_for_ever(service: MemoryService):
    gone = service.add(Draft("gone"), CURSOR).memory.id
    service.add(Draft("there"), CURSOR)
    service.purge(gone, CURSOR)
    report = service.undo(ME, client="cursor")
    assert ([u.kind for u in report.undone], report.skipped) == (["add"], [(gone, "forgotten for ever")])
    assert live(service) == []


def test_a_group_of_which_nothing_can_be_taken_back_stays_as_it_is(service: MemoryService):
    id = add(service, "a")
    for content in "bc":
        service.edit(id, {"content": content}, CURSOR)
    service.edit(id, {"content": "d"}, ME)
    for _ in range(2):
        report = service.undo(ME, client="cursor")
        assert (report.changed, report.skipped) == (0, [(id, "content changed since")])
    service.undo(ME)
    assert text(service, id) == "c"
    service.undo(ME, client="cursor")
    assert text(service, id) == "a"


def test_changes_are_told_of_single_actions_too(service: MemoryService):
    id = add(service, "a")
    service.edit(id, {"content": "b"}, ME)
    service.edit(id, {"metadata": {"k": 1}, "state": "paused"}, ME)
    (change,) = service.undo(ME, n=2).changes
    assert change.before == {"content": "b", "metadata": {"k": 1}, "state": "paused"}
    assert change.after == {"content": "a", "metadata": {}, "state": "active"}
    (change,) = service.undo(ME, redo=True, n=2, dry_run=True).changes
    assert (change.before["content"], change.after["content"]) == ("a", "b")


def test_of_very_many_memories_only_the_first_changes_are_told(service: MemoryService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(revert, "MAX_CHANGES", 5)
    service.add_many([Draft(f"m{n}") for n in range(9)], CURSOR)
    report = service.undo(ME, client="cursor")
    assert (len(report.changes), report.changed, len(report.undone[0].ids)) == (5, 9, 9)


@pytest.mark.parametrize(
    "ask", [{"client": "x", "n": 1}, {"since": "2026-01-01", "redo": True}, {"upto": 3}, {"since": "no time"}]
)
def test_what_does_not_go_together_is_refused(service: MemoryService, ask):
    with pytest.raises(Invalid):
        service.undo(ME, **ask)

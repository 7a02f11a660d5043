from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest

from jmem.core import opcheck
from jmem.core.errors import Ambiguous, Conflict, Invalid, JmemError, NotFound, Refused, StorageFailed, TooLarge
from jmem.core.filter import Filter
from jmem.core.model import MAX_CONTENT_BYTES, Op
from jmem.core.query import SearchQuery
from jmem.core.service import Actor, Added, Draft, MemoryService, draft_of
from jmem.core.store import oplog
from tests.core.conftest import User

ME = Actor("cli")
CLAUDE = Actor("claude")
SCOPED = Actor("cursor", tags=("work", "code"))


def ops_of(service: MemoryService, id: str) -> list[Op]:
    with service.store.reader() as conn:
        return oplog.ops_of(conn, id)


# ---- adding -----------------------------------------------------------------------------------


def test_an_added_memory_is_what_was_given(service: MemoryService):
    draft = Draft("I prefer aisle seats", ("travel", "travel"), {"k": 1.5}, "paused", "2023-05-08T10:00:00+02:00",
                  "2999-01-01T00:00:00Z", "local", "notes.md", "t1", "Ann", "other", None, "2020-01-02T03:04:05Z")  # fmt: skip
    added = service.add(draft, ME)
    memory = added.memory
    assert not added.duplicate
    assert memory.as_dict() == {
        "id": memory.id, "content": "I prefer aisle seats", "tags": ["travel"], "state": "paused", "client": "other",
        "source": "notes.md", "metadata": {"k": 1.5}, "privacy": "local", "created_at": "2020-01-02T03:04:05.000Z",
        "updated_at": memory.updated_at, "occurred_at": "2023-05-08T08:00:00.000Z", "expires_at": "2999-01-01T00:00:00.000Z",
        "thread": "t1", "speaker": "Ann", "supersedes": None, "deleted": False, "version": memory.version,
    }  # fmt: skip
    assert service.get(memory.id, ME) == memory
    (op,) = ops_of(service, memory.id)
    assert op.sealed() == op
    assert op.base == ()
    assert op.nonce
    assert "deleted" not in op.set


def test_defaults_take_no_room_in_the_op(service: MemoryService):
    memory = service.add(Draft("short"), ME).memory
    (op,) = ops_of(service, memory.id)
    assert set(op.set) == {"content", "client", "created_at"}
    assert (memory.privacy, memory.state, memory.tags, memory.client) == ("synced", "active", (), "cli")


@pytest.mark.parametrize("values", [
    {"content": ""}, {"content": "a\0"}, {"content": "x", "tags": ["a"] * 2 + [str(n) for n in range(64)]},
    {"content": "x", "state": "gone"}, {"content": "x", "occurred_at": "soon"}, {"content": "x", "colour": "red"},
    {"tags": []}, {"content": "x", "supersedes": "nothing!"}, {"content": "é" * (MAX_CONTENT_BYTES // 2 + 1)},
    {"content": "x", "secrets": "perhaps"}, {"content": "x", "client": "Not A Name"},
])  # fmt: skip
def test_what_is_not_valid_changes_nothing(user: User, values: dict[str, object]):
    with pytest.raises(Invalid):
        user.service.add(draft_of(values), ME)
    assert user.rows() == []
    assert user.store.last_seq == 0


def test_the_largest_content_fits(service: MemoryService):
    text = '\U0001f600\n"\\' * 8000
    assert service.get(service.add(Draft(text), ME).memory.id, ME).content == text
    assert service.add(Draft("x" * MAX_CONTENT_BYTES), ME).memory.content[-1] == "x"


def test_an_op_that_would_be_too_large_is_refused(service: MemoryService):
    with pytest.raises(TooLarge):
        service.add(Draft("\x01" * MAX_CONTENT_BYTES), ME)  # six characters each in JSON


# ---- duplicates and near ones -----------------------------------------------------------------


def test_the_same_again_is_not_stored(user: User):
    first = user.service.add(Draft("I prefer aisle seats", tags=("travel",)), ME).memory
    again = user.service.add(Draft("I prefer aisle seats", tags=("other",)), CLAUDE)
    assert again == Added(first, duplicate=True, differs=("tags",))
    assert len(user.rows()) == 1
    assert user.store.last_seq == 1


@pytest.mark.parametrize(("given", "differs"), [
    ({}, ()), ({"tags": ["b"], "metadata": {"k": 1}}, ()), ({"tags": ["a", "c"]}, ("tags",)),
    ({"metadata": {"k": 2}}, ("metadata",)), ({"metadata": {"other": None}}, ("metadata",)),
    ({"privacy": "local", "state": "archived"}, ("privacy", "state")), ({"source": "notes.md"}, ("source",)),
    ({"expires_at": "2999-01-01"}, ("expires_at",)),
])  # fmt: skip
def test_a_duplicate_names_what_was_not_taken(
    service: MemoryService, given: dict[str, object], differs: tuple[str, ...]
):
    service.add(Draft("I prefer aisle seats", tags=("a", "b"), metadata={"k": 1}), ME)
    values = {"content": "I prefer aisle seats", **given}
    added = service.add(draft_of(values), ME)
    assert (added.duplicate, added.differs) == (True, differs)
    (result,) = service.batch([{"op": "add", **values}], ME)
    assert (result.duplicate, result.differs) == (True, differs)


@pytest.mark.parametrize("other", [
    {"content": "I prefer aisle seats."}, {"thread": "t"}, {"speaker": "Ann"}, {"occurred_at": "2023-01-01"},
])  # fmt: skip
def test_another_text_thread_speaker_or_time_is_another_memory(service: MemoryService, other: dict[str, str]):
    service.add(Draft("I prefer aisle seats"), ME)
    assert not service.add(draft_of({"content": "I prefer aisle seats", **other}), ME).duplicate


def test_a_fact_told_in_two_sessions_is_one_memory(service: MemoryService):
    first = service.add(Draft("the boat is blue", thread="mcp:claude:0123abcd"), ME)
    for thread in (None, "mcp:cursor:4567abcd"):
        again = service.add(Draft("the boat is blue", thread=thread), ME)
        assert again.duplicate
        assert again.memory.id == first.memory.id
    assert not service.add(Draft("the boat is blue", thread="a chat"), ME).duplicate


@pytest.mark.parametrize("change", [
    lambda s, id: s.delete(id, ME), lambda s, id: s.purge(id, ME), lambda s, id: s.edit(id, {"state": "archived"}, ME),
    lambda s, id: s.edit(id, {"content": "other"}, ME), lambda s, id: s.edit(id, {"expires_at": "2020-01-01"}, ME),
])  # fmt: skip
def test_a_memory_that_is_not_live_is_no_duplicate(service: MemoryService, change):
    id = service.add(Draft("I prefer aisle seats"), ME).memory.id
    change(service, id)
    assert not service.add(Draft("I prefer aisle seats"), ME).duplicate


def test_a_client_learns_nothing_of_duplicates_it_may_not_read(service: MemoryService):
    service.add(Draft("the code is 4711"), ME)
    added = service.add(Draft("the code is 4711"), SCOPED)
    assert not added.duplicate
    assert added.memory.tags == ("work",)
    assert added.similar == ()
    again = service.add(Draft("the code is 4711"), SCOPED)
    assert again.duplicate
    assert again.memory == added.memory
    blind = Actor("writer", read=False)
    own = service.add(Draft("the code is 4711"), blind)
    assert not own.duplicate
    assert service.add(Draft("the code is 4711"), blind).memory == own.memory  # a write whose answer was lost
    assert service.add(Draft("the code is 4711 too"), blind).similar == ()


def test_near_ones_are_named(service: MemoryService):
    aisle = service.add(Draft("I prefer aisle seats on long flights"), ME).memory
    service.add(Draft("The dentist is on Tuesday"), ME)
    added = service.add(Draft("I prefer window seats on long flights"), ME)
    assert [n.id for n in added.similar] == [aisle.id]
    assert 0.5 <= added.similar[0].score < 1
    assert added.similar[0].content == aisle.content
    service.delete(aisle.id, ME)
    assert [n.id for n in service.add(Draft("I prefer seats on long flights"), ME).similar] == [added.memory.id]


def test_the_three_nearest_are_others_even_when_the_commit_is_quicker_than_the_look(user: User):
    texts = [f"I prefer {seat} seats on long flights" for seat in ("aisle", "window", "middle")]
    ids = {user.service.add(Draft(text), ME).memory.id for text in texts}
    pending = user.store.submit

    def at_once(fn: Any) -> Any:
        answer = pending(fn)
        answer.result()
        return answer

    user.store.submit = at_once  # type: ignore[method-assign]
    added = user.service.add(Draft("I prefer quiet seats on long flights"), ME)
    assert {near.id for near in added.similar} == ids


@pytest.mark.parametrize("error", [
    StorageFailed("no reader can be opened", code="cannot_open"), sqlite3.DatabaseError("malformed"), KeyError("a bug"),
])  # fmt: skip
def test_an_add_is_acknowledged_though_looking_for_resemblance_fails(
    user: User, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("jmem.core.duplicates.near_memories", fail)
    added = user.service.add(Draft("I prefer aisle seats"), ME)
    assert (added.duplicate, added.similar) == (False, ())
    (several,) = user.service.add_many([Draft("I prefer window seats")], ME, similar=True)
    assert isinstance(several, Added)
    assert len(user.rows()) == 2


def test_similar_ones_tell_a_scope_nothing_of_hidden_words(service: MemoryService, me: Actor) -> None:
    scoped = Actor("cursor", tags=("work",))
    for n in range(10):  # nearer than the visible one, and more than are looked at
        service.add(Draft(f"flugelhorn concert tuesday evening lesson {n}", tags=("private",)), me)
    known = service.add(Draft("flugelhorn concert monday evening", tags=("work",)), me).memory
    added = service.add(Draft("flugelhorn concert tuesday evening", tags=("work",)), scoped)
    assert [near.id for near in added.similar] == [known.id]


def test_texts_without_words_have_no_near_ones(service: MemoryService):
    for text in ("!!!", "\U0001f600", '"', "a b c", "*", "日本語のメモ", "NEAR(a b)"):
        service.add(Draft(text), ME)
        assert service.add(Draft(text + " "), ME).similar is not None


def test_racing_adds_of_one_text_store_it_once(user: User):
    results: list[Added] = []
    barrier = threading.Barrier(8)

    def add() -> None:
        barrier.wait()
        results.append(user.service.add(Draft("the same from eight"), ME))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(user.rows()) == 1
    assert sorted(r.duplicate for r in results) == [False] + [True] * 7


def test_many_at_once_each_stand_for_themselves(user: User):
    drafts = [Draft("one"), Draft(""), Draft("one"), Draft("two", supersedes="ffffffff"), Draft("three")]
    results = user.service.add_many(drafts, ME)
    assert [type(r) for r in results] == [Added, Invalid, Added, NotFound, Added]
    assert isinstance(results[2], Added)
    assert results[2].duplicate
    entries, _ = user.service.log(ME)
    assert [(e.kind, e.count) for e in entries] == [("add", 2)]
    for wrong in ([], [Draft("x")] * 1001):
        with pytest.raises(Invalid):
            user.service.add_many(wrong, ME)


# ---- editing ----------------------------------------------------------------------------------


def test_an_edit_names_the_heads_it_saw(service: MemoryService):
    id = service.add(Draft("a"), ME).memory.id
    edited = service.edit(id, {"content": "b", "metadata": {"n": 1}, "thread": "t"}, CLAUDE)
    assert edited.changed
    assert (edited.memory.content, edited.memory.client) == ("b", "cli")
    first, second = ops_of(service, id)
    assert second.base == (first.stamp,)
    assert second.client == "claude"
    service.edit(id, {"state": "paused"}, ME)
    assert ops_of(service, id)[2].base == ()


def test_an_edit_that_changes_nothing_makes_no_op(user: User):
    memory = user.service.add(Draft("a", tags=("x", "y"), occurred_at="2023-01-01T00:00:00Z"), ME).memory
    for same in ({}, {"content": "a"}, {"tags": ["x", "y"]}, {"add_tags": ["y"]}, {"remove_tags": ["z"]}, {"state": "active"},
                 {"occurred_at": "2023-01-01T01:00:00+01:00"}, {"thread": None}, {"privacy": "synced"}):  # fmt: skip
        edited = user.service.edit(memory.id, same, ME)
        assert not edited.changed
        assert edited.memory == memory
    assert user.store.last_seq == 1
    assert len(user.service.log(ME)[0]) == 1


def test_tags_are_added_and_removed(service: MemoryService):
    id = service.add(Draft("a", tags=("x", "y")), ME).memory.id
    assert service.edit(id, {"add_tags": ["z", "x"], "remove_tags": ["y"]}, ME).memory.tags == ("x", "z")
    assert service.edit(id, {"tags": ["q"], "add_tags": ["r"]}, ME).memory.tags == ("q", "r")
    assert service.tags(ME) == [("q", 1), ("r", 1)]


def test_an_edit_of_something_else_than_was_read_is_refused(service: MemoryService):
    memory = service.add(Draft("a"), ME).memory
    newer = service.edit(memory.id, {"content": "b"}, ME, expected=memory.version).memory
    with pytest.raises(Conflict) as caught:
        service.edit(memory.id, {"content": "c"}, ME, expected=memory.version)
    assert caught.value.code == "changed"
    assert caught.value.detail["version"] == newer.version
    assert service.get(memory.id, ME).content == "b"


@pytest.mark.parametrize("changes", [
    {"colour": "red"}, {"client": "x"}, {"created_at": "2020-01-01"}, {"deleted": True}, {"content": ""}, {"content": None},
    {"state": None}, {"add_tags": "x"}, {"expires_at": "soon"}, {"supersedes": "ffffffff"},
])  # fmt: skip
def test_a_bad_edit_changes_nothing(user: User, changes: dict[str, object]):
    id = user.service.add(Draft("a"), ME).memory.id
    with pytest.raises(JmemError) as caught:
        user.service.edit(id, changes, ME)
    assert caught.value.status in (422, 404)
    assert user.store.last_seq == 1


def test_a_change_of_privacy_gives_a_new_id_without_the_past(user: User):
    service = user.service
    old = service.add(Draft("mine", tags=("x",), metadata={"k": 1}, thread="t"), ME).memory
    service.edit(old.id, {"content": "mine alone"}, ME)
    heir = service.add(Draft("newer", supersedes=old.id), ME).memory
    moved = service.edit(old.id, {"privacy": "local", "add_tags": ["y"]}, ME)
    assert moved.replaces == old.id
    new = moved.memory
    assert (new.content, new.tags, new.privacy, new.metadata, new.created_at, new.thread) == (
        "mine alone", ("x", "y"), "local", {"k": 1}, old.created_at, "t")  # fmt: skip
    assert new.id != old.id
    assert service.get(heir.id, ME).supersedes is None  # what leaves the machine names nothing that stays on it
    assert len(service.history(new.id, ME).revisions) == 1
    with pytest.raises(NotFound):
        service.get(old.id, ME)
    assert all(opcheck.is_blank(op) for op in ops_of(service, old.id))
    assert service.undo(ME, dry_run=True).skipped == [(new.id, "its privacy changed; that can't be taken back")]
    back = service.edit(new.id, {"privacy": "synced"}, ME)
    assert back.replaces == new.id
    assert back.memory.content == "mine alone"
    with user.store.reader() as conn:
        assert conn.execute("SELECT COUNT(*) FROM purged WHERE reached = 1").fetchone() == (2,)


def test_unknown_fields_of_ops_go_on_through_edits_and_moves(user: User):
    service = user.service
    op = Op("0199f3a1c2d4-0003-a1b2c3d4", "0199f3a1-c2d4-7b3e-9c1a-0123456789ab",
            {"content": "a", "colour": {"hue": 3}}, (), "cli", "9f").sealed()  # fmt: skip
    service.apply_ops([op], ME)
    service.edit(op.id, {"content": "b"}, ME)
    new = service.edit(op.id, {"privacy": "local"}, ME).memory
    with user.store.reader() as conn:
        assert conn.execute("SELECT extra FROM memories WHERE id = ?", (new.id,)).fetchone() == (
            '{"colour":{"hue":3}}',
        )
    assert ops_of(service, new.id)[0].set["colour"] == {"hue": 3}


# ---- deleting and restoring -------------------------------------------------------------------


def test_a_deleted_memory_is_hidden_at_once_and_comes_back(service: MemoryService):
    memory = service.add(Draft("a", tags=("x",)), ME).memory
    assert service.delete(memory.id[-6:], ME).deleted == [memory.id]
    with pytest.raises(NotFound) as caught:
        service.get(memory.id, ME)
    assert caught.value.detail["deleted"]
    assert caught.value.fix == f"jmem restore {memory.id}"
    assert service.list(Filter(), ME).memories == []
    assert service.tags(ME) == []
    assert service.get(memory.id, ME, deleted=True).deleted
    assert [m.id for m in service.list(Filter(deleted=True), ME).memories] == [memory.id]
    restored = service.restore(memory.id, ME)
    assert restored.changed
    assert restored.memory.content == "a"
    assert not service.restore(memory.id, ME).changed


def test_deleting_tells_what_was_not_there(service: MemoryService):
    one = service.add(Draft("a"), ME).memory.id
    two = service.add(Draft("b"), ME).memory.id
    outcome = service.delete([one[-8:], one, "ffffffff", "ffffffff", two], ME)
    assert outcome.deleted == [one, two]
    assert outcome.missing == ["ffffffff"]
    assert service.delete(one, ME).missing == [one]
    assert len(service.log(ME, limit=1)[0][0].ids) == 2


def test_an_ambiguous_part_deletes_nothing(service: MemoryService):
    ids = [service.add(Draft(f"memory {n}"), ME).memory.id for n in range(3)]
    with pytest.raises(Ambiguous) as caught:
        service.delete([ids[0], ids[1][:6]], ME)
    assert {c["id"] for c in caught.value.detail["candidates"]} == set(ids)
    assert caught.value.detail["candidates"][0]["preview"].startswith("memory")
    assert len(service.list(Filter(), ME).memories) == 3


def test_a_revision_is_restored_by_number_or_stamp(service: MemoryService):
    id = service.add(Draft("a", tags=("x",)), ME).memory.id
    service.edit(id, {"content": "b", "tags": ["y"], "state": "paused"}, ME)
    service.edit(id, {"content": "c"}, ME)
    second = service.history(id, ME).revisions[1]
    back = service.restore(id, ME, rev=1).memory
    assert (back.content, back.tags, back.state) == ("a", ("x",), "active")
    assert service.restore(id, ME, rev=second.stamp).memory.content == "b"
    assert service.restore(id, ME, rev=1).changed
    assert not service.restore(id, ME, rev=1).changed
    for rev in ("99", "zzzz", "0"):
        with pytest.raises(NotFound) as caught:
            service.restore(id, ME, rev=rev)
        assert caught.value.code == "no_revision"
    assert len(ops_of(service, id)[-1].base) == 1


# ---- what an actor may ------------------------------------------------------------------------


def test_a_scoped_client_sees_and_changes_only_its_tags(service: MemoryService):
    work = service.add(Draft("deploy on Friday", tags=("work",)), ME).memory
    home = service.add(Draft("deploy the tent", tags=("home",)), ME).memory
    assert [m.id for m in service.list(Filter(), SCOPED).memories] == [work.id]
    assert service.count(Filter(), SCOPED) == 1
    assert service.stats(SCOPED)["memories"] == 1
    assert service.tags(SCOPED) == [("work", 1)]
    assert service.list(Filter(tags=("home",)), SCOPED).memories == []
    assert service.list(Filter(visible=("home",)), SCOPED).memories == []
    for attempt in (
        lambda: service.get(home.id, SCOPED), lambda: service.get(home.id[-12:], SCOPED),
        lambda: service.edit(home.id, {"content": "x"}, SCOPED), lambda: service.restore(home.id, SCOPED),
        lambda: service.purge(home.id, SCOPED), lambda: service.add(Draft("x", supersedes=home.id), SCOPED),
    ):  # fmt: skip
        with pytest.raises(NotFound) as caught:
            attempt()
        assert "candidates" not in caught.value.detail
    assert service.delete(home.id, SCOPED).missing == [home.id]
    service.delete(home.id, ME)
    with pytest.raises(NotFound) as caught:
        service.get(home.id, SCOPED)
    assert "deleted" not in caught.value.detail
    assert service.get(work.id[-6:], SCOPED) == work
    with pytest.raises(Refused) as refused:
        service.edit(work.id, {"tags": ["home"]}, SCOPED)
    assert refused.value.code == "out_of_scope"
    assert service.edit(work.id, {"tags": ["code"]}, SCOPED).memory.tags == ("code",)
    assert service.add(Draft("x", tags=("mine",)), SCOPED).memory.tags == ("mine", "work")


def test_an_empty_scope_sees_nothing(service: MemoryService):
    nobody = Actor("nobody", tags=())
    memory = service.add(Draft("a", tags=("x",)), ME).memory
    assert service.list(Filter(), nobody).memories == []
    assert service.delete(memory.id, nobody).missing == [memory.id]
    with pytest.raises(NotFound):
        service.get(memory.id, nobody)
    with pytest.raises(Refused):
        service.add(Draft("a", tags=("x",)), nobody)


@pytest.mark.parametrize(("actor", "refused"), [
    (Actor("c", read=False), {"get", "list", "edit", "restore", "history", "tags", "stats", "count", "undo", "log", "apply", "as"}),
    (Actor("c", write=False), {"add", "add_many", "edit", "restore", "undo", "log", "apply", "as"}),
    (Actor("c", delete=False), {"delete", "purge", "undo", "log", "apply", "as"}),
    (Actor("c", tags=("x",)), {"undo", "log", "apply", "history", "as"}),
    (ME, set()),
])  # fmt: skip
def test_permissions(service: MemoryService, actor: Actor, refused: set[str]):
    id = service.add(Draft("a", tags=("x",)), ME).memory.id
    calls = {
        "get": lambda: service.get(id, actor), "list": lambda: service.list(Filter(), actor),
        "count": lambda: service.count(Filter(), actor), "tags": lambda: service.tags(actor),
        "stats": lambda: service.stats(actor), "history": lambda: service.history(id, actor),
        "add": lambda: service.add(Draft("b"), actor), "add_many": lambda: service.add_many([Draft("c")], actor),
        "as": lambda: service.add(Draft("e", client="other"), actor), "edit": lambda: service.edit(id, {"content": "d"}, actor),
        "log": lambda: service.log(actor), "apply": lambda: service.apply_ops([], actor),
        "delete": lambda: service.delete(id, actor), "restore": lambda: service.restore(id, actor),
        "undo": lambda: service.undo(actor), "purge": lambda: service.purge(id, actor),
    }  # fmt: skip
    held = set()
    for name, call in calls.items():
        try:
            call()
        except Refused:
            held.add(name)
    assert held == refused


def test_batch_operations_keep_the_same_permissions(service: MemoryService):
    id = service.add(Draft("a", tags=("x",)), ME).memory.id
    reader = Actor("c", write=False, delete=False)
    operations = [{"op": "add", "content": "b"}, {"op": "edit", "id": id, "content": "b"}, {"op": "delete", "id": id},
                  {"op": "restore", "id": id}, {"op": "purge", "id": id}]  # fmt: skip
    assert [r.status for r in service.batch(operations, reader)] == [403] * 5
    outside = Actor("c", tags=("y",))
    assert [r.status for r in service.batch(operations[1:], outside)] == [404] * 4


# ---- batches ----------------------------------------------------------------------------------


def test_a_batch_is_one_action_of_operations_that_stand_alone(user: User):
    service = user.service
    one, two, three = (service.add(Draft(text, tags=("x",)), ME).memory.id for text in ("one", "two", "three"))
    results = service.batch([
        {"op": "add", "content": "four", "tags": ["y"]}, {"op": "add", "content": "one"}, {"op": "edit", "id": one, "content": "1"},
        {"op": "edit", "id": one, "content": "2", "version": "x"}, {"op": "edit", "id": two, "colour": 1}, {"op": "delete", "id": two},
        {"op": "delete", "id": two}, {"op": "restore", "id": two}, {"op": "purge", "id": three}, {"op": "fly"},
        {"op": "delete", "id": one, "why": 1}, {"op": "edit"}, {"op": "edit", "id": two, "privacy": "local"},
    ], ME)  # fmt: skip
    # the duplicate is found because "one" is edited only afterwards
    assert [r.status for r in results] == [201, 200, 200, 409, 422, 200, 404, 200, 200, 422, 422, 422, 200]
    assert results[1].duplicate
    assert results[5].deleted == two
    assert results[8].purged == three
    assert results[8].receipt
    assert results[12].replaces == two
    assert [e.kind for e in service.log(ME)[0][:2]] == ["privacy", "batch"]
    assert service.undo(ME).undone[0].kind == "batch"
    assert service.get(one, ME).content == "one"
    assert service.get(results[12].memory.id, ME).content == "two"  # type: ignore[union-attr]
    with pytest.raises(NotFound):
        service.get(results[0].memory.id, ME)  # type: ignore[union-attr]


# ---- states and expiry ------------------------------------------------------------------------


def test_lists_show_active_memories_unless_asked(service: MemoryService):
    ids = {s: service.add(Draft(s, state=s), ME).memory.id for s in ("active", "paused", "archived")}
    gone = service.add(Draft("expired", expires_at="2020-01-01"), ME).memory.id
    names = lambda f: {m.content for m in service.list(f, ME).memories}  # noqa: E731
    assert names(Filter()) == {"active"}
    assert names(Filter(states=("paused",))) == {"paused"}
    assert names(Filter(states=())) == {"active", "paused", "archived"}
    assert names(Filter(states=(), expired=True)) == {"active", "paused", "archived", "expired"}
    assert service.get(gone, ME).content == "expired"
    service.edit(ids["active"], {"state": "archived"}, ME)
    assert names(Filter()) == set()
    stats = service.stats(ME)
    assert stats["states"] == {"active": 0, "paused": 1, "archived": 2, "review": 0}
    assert stats["memories"] == 3
    assert stats["clients"] == {"cli": 3}
    assert sum(stats["by_day"].values()) == 3


def test_a_query_has_a_limit(service: MemoryService):
    service.searcher = None
    with pytest.raises(TooLarge) as caught:
        service.search(SearchQuery("x" * 65_537), ME)
    assert caught.value.detail["field"] == "query"
    with pytest.raises(JmemError, match="no search"):
        service.search(SearchQuery("x" * 65_536), ME)

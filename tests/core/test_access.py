from __future__ import annotations

import sqlite3
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from jmem.core.access import Access, AccessLog, Answer, Wanted
from jmem.core.errors import Invalid, NotFound, Refused, StorageFailed
from jmem.core.filter import Filter
from jmem.core.query import SearchQuery
from jmem.core.remember import remember
from jmem.core.service import Actor, Draft, MemoryService
from tests.core.conftest import Recall, User

ME = Actor("cli")


@pytest.fixture
def log(tmp_path: Path):
    log = AccessLog(tmp_path)
    yield log
    log.close()


def test_what_was_recorded_is_read_back_newest_first(log: AccessLog):
    log.record(
        Access(
            "claude", "search", [Answer("a", 0.9, {"text": {"rank": 1}}), Answer("b", 0.4)], "where", {"mode": "hybrid"}
        )
    )
    log.record(Access("cli", "get", [Answer("b")]))
    get, search = log.recent()
    assert (search.client, search.what, search.query, search.detail) == (
        "claude",
        "search",
        "where",
        {"mode": "hybrid"},
    )
    assert search.answers == [Answer("a", 0.9, {"text": {"rank": 1}}), Answer("b", 0.4)]
    assert search.as_dict()["answers"][0] == {"id": "a", "rank": 1, "score": 0.9, "legs": {"text": {"rank": 1}}}
    assert log.recent("cli") == [get]
    assert log.recent(limit=1) == [get]
    assert [a.what for a in log.find(Wanted(memory="b"))] == ["get", "search"]
    assert log.find(Wanted(memory="b"))[1].answers == [Answer("b", 0.4)]
    assert log.find(Wanted(memory="c")) == []


def test_records_reach_the_file_by_themselves(log: AccessLog):
    log.record(Access("cli", "get"))
    other = sqlite3.connect(log.path)
    deadline = time.monotonic() + 10
    while not other.execute("SELECT COUNT(*) FROM accesses").fetchone()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    other.close()


def test_closing_writes_what_waits(tmp_path: Path):
    log = AccessLog(tmp_path)
    for n in range(100):
        log.record(Access("cli", "get", [Answer(str(n))]))
    log.close()
    log.close()
    assert stat.S_IMODE((tmp_path / "access.db").stat().st_mode) == 0o600
    again = AccessLog(tmp_path)
    assert len(again.recent()) == 100
    again.close()


def test_the_log_is_bounded(tmp_path: Path):
    log = AccessLog(tmp_path, keep=10)
    for n in range(25):
        log.record(Access("cli", "get", [Answer(str(n))]))
    log.flush()
    log.record(Access("cli", "list"))
    assert len(log.recent(limit=100)) == 10
    assert log.find(Wanted(memory="3")) == []
    assert len(log.find(Wanted(memory="24"))) == 1
    log.close()


def test_a_log_that_can_not_be_written_loses_records_and_nothing_else(log: AccessLog, caplog: pytest.LogCaptureFixture):
    log._conn.execute("PRAGMA query_only = ON")
    log.record(Access("cli", "get"))
    log.flush()
    assert log.dropped == 1
    log._conn.execute("PRAGMA query_only = OFF")
    log.record(Access("cli", "list"))
    assert [a.what for a in log.recent()] == ["list"]
    assert "lost 1 records" in caplog.text


def test_a_damaged_log_is_put_aside(tmp_path: Path):
    (tmp_path / "access.db").write_bytes(b"no database " * 500)
    log = AccessLog(tmp_path)
    log.record(Access("cli", "get"))
    assert len(log.recent()) == 1
    log.close()
    assert (tmp_path / "access.db.damaged").read_bytes().startswith(b"no database")
    assert AccessLog(tmp_path).close() is None


def test_where_no_log_can_be_written_it_lives_in_memory(tmp_path: Path):
    (tmp_path / "access.db").mkdir()
    log = AccessLog(tmp_path)
    log.record(Access("cli", "get"))
    assert len(log.recent()) == 1
    assert log.forget(["x"]) == 0
    log.close()


def test_an_idle_log_does_nothing(log: AccessLog):
    log.record(Access("cli", "get"))
    log.flush()
    time.sleep(0.6)  # longer than it gathers
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.02


# ---- what the service records -----------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    query: str
    filter: Filter = field(default_factory=Filter)
    limit: int = 10
    as_of: str | None = None


@dataclass(frozen=True)
class Outcome:
    hits: list[SimpleNamespace]
    mode: str = "text"
    took_ms: float = 1.0
    confident: bool = True


class Everything:
    """A searcher that ignores the filter: the service must not."""

    def __init__(self, service: MemoryService) -> None:
        self.service, self.asked = service, []

    def search(self, query: Query) -> Outcome:
        self.asked.append(query)
        memories = self.service.list(Filter(), Actor("test")).memories
        return Outcome(
            [
                SimpleNamespace(memory=m, score=0.5, also=[], legs={"text": {"rank": n}})
                for n, m in enumerate(memories, 1)
            ]
        )


def test_every_access_is_recorded(user: User):
    service = user.service
    service.searcher = Everything(service)  # type: ignore[assignment]
    id = service.add(Draft("a"), ME).memory.id
    service.get(id, Actor("claude"))
    service.search(Query("what"), Actor("claude"))  # type: ignore[arg-type]
    service.edit(id, {"content": "b"}, ME)
    service.delete(id, ME)
    service.restore(id, ME)
    service.undo(ME)
    found = [a for a in service.accesses(ME) if a.client != "test"]
    assert [a.what for a in reversed(found)] == ["add", "get", "search", "edit", "delete", "restore", "undo"]
    search = found[4]
    assert (search.query, search.client, search.answers) == ("what", "claude", [Answer(id, 0.5, {"text": {"rank": 1}})])
    assert [a.what for a in service.accesses(ME, id=id[-6:], limit=2)] == ["undo", "restore"]
    assert {a.client for a in service.accesses(ME, client="claude")} == {"claude"}
    with pytest.raises(Refused):
        service.accesses(Actor("claude", tags=("x",)))
    with pytest.raises(NotFound):
        service.accesses(ME, id="ffffffff")


def test_a_search_never_shows_what_the_client_may_not_see(user: User):
    service = user.service
    searcher = Everything(service)
    service.searcher = searcher  # type: ignore[assignment]
    work = service.add(Draft("a", tags=("work",)), ME).memory
    service.add(Draft("b", tags=("home",)), ME)
    outcome = service.search(Query("what"), Actor("cursor", tags=("work",)))  # type: ignore[arg-type]
    assert [hit.memory.id for hit in outcome.hits] == [work.id]
    assert searcher.asked[-1].filter.visible == ("work",)
    assert service.search(Query("what"), Actor("c", tags=())).hits == []  # type: ignore[arg-type]
    assert searcher.asked[-1].filter.visible == ()
    with pytest.raises(Refused):
        service.search(Query("what"), Actor("c", read=False))  # type: ignore[arg-type]
    for bad in (Query(" \n"), Query("x", limit=0), Query("x", limit=1001)):
        with pytest.raises(Invalid):
            service.search(bad, ME)  # type: ignore[arg-type]


def test_long_lists_are_recorded_by_count(user: User):
    user.service.add_many([Draft(f"memory {n}") for n in range(120)], ME)
    (access,) = user.access.recent()
    assert len(access.answers) == 100
    assert access.detail == {"count": 120}


# ---- why --------------------------------------------------------------------------------------


def test_accesses_are_chosen_by_program_kind_memory_and_place(log: AccessLog):
    for client, what, id in (("a", "search", "x"), ("b", "search", "y"), ("a", "list", "y"), ("a", "add", "x")):
        log.record(Access(client, what, [Answer("other"), Answer(id)]))

    def find(limit: int = 100, **wanted) -> list[tuple[str, str]]:
        return [(access.client, access.what) for access in log.find(Wanted(**wanted), limit)]

    assert find() == [("a", "add"), ("a", "list"), ("b", "search"), ("a", "search")]
    assert find(what=("search", "list"), client="a") == [("a", "list"), ("a", "search")]
    assert find(memory="y") == [("a", "list"), ("b", "search")]
    assert find(memory="x", what=("search",)) == [("a", "search")]
    assert find(limit=1, memory="x") == [("a", "add")]
    newest = log.last_id()
    assert find(after=newest - 2) == [("a", "add"), ("a", "list")]
    assert find(after=newest) == []
    assert find(before=newest + 1, after=newest - 1) == find()[:1]
    assert find(before=newest - 1) == find()[2:]
    (held,) = log.find(Wanted(memory="y", client="b"))[0].answers
    assert (held.id, held.rank) == ("y", 2)
    following = log.following(newest - 3, 2)
    assert [(a.id, a.client, a.what, a.count, a.answers) for a in following] == [
        (newest - 2, "b", "search", 2, ()), (newest - 1, "a", "list", 2, ()),
    ]  # fmt: skip


def test_who_listens_is_called_once_records_are_written(log: AccessLog):
    called: list[int] = []
    log.on_written = lambda: called.append(1)
    log.flush()
    assert called == []
    log.record(Access("cli", "list", [], detail={"count": 120}))
    assert log.following(0, 10)[0].count == 120
    assert called == [1]


def test_every_search_records_why(recall: Recall):
    """Rank and score of each leg, whether it was asked to explain or not, and not a word of the query."""
    recall.add("the red boat", "a red car", "something about sailing")
    for explain in (False, True):
        outcome = recall.service.search(SearchQuery("red boat", explain=explain), Actor("claude"))
        access = recall.access.recent("claude", 1)[0]
        assert [a.id for a in access.answers] == [hit.memory.id for hit in outcome.hits]
        assert [a.rank for a in access.answers] == [1, 2, 3]
        first, last = access.answers[0].legs, access.answers[2].legs
        assert first is not None
        assert last is not None
        assert set(first) == {"text", "vector"}
        assert first["text"]["rank"] == first["vector"]["rank"] == 1
        assert first["text"]["score"] > 0
        assert set(last) == {"vector"}
        assert "boat" not in str(access.answers)
    explained = outcome.hits[0].explain
    assert explained is not None
    assert explained["vector"]["score"] == first["vector"]["score"]


def test_what_superseded_an_answer_is_recorded(recall: Recall):
    (old,) = recall.add("the key is under the mat")
    (new,) = recall.add("the key is under the stone now", supersedes=old)
    recall.service.search(SearchQuery("where is the key"), Actor("claude"))
    answers = {a.id: a.legs for a in recall.access.recent("claude", 1)[0].answers}
    assert answers[old] is not None
    assert answers[old]["superseded_by"] == new
    assert "superseded_by" not in (answers[new] or {})


def test_texts_are_told_as_they_were(user: User):
    service = user.service
    id = service.add(Draft("first"), ME).memory.id
    gone = service.add(Draft("soon deleted"), ME).memory.id
    forgotten = service.add(Draft("soon forgotten"), ME).memory.id
    service.list(Filter(), Actor("claude"))
    (access,) = service.accesses(ME, client="claude")
    while service.add(Draft("time passes"), ME).memory.created_at <= access.at:
        service.undo(ME)
    service.edit(id, {"content": "second"}, ME)
    service.delete(gone, ME)
    service.get(id, Actor("claude"))
    newer, older = service.accesses(ME, client="claude", what=("list", "get"))
    (now,), then = service.told([newer, older], ME)
    assert (now.content, now.changed, now.gone) == ("second", False, False)
    told = {answer.id: text for answer, text in zip(older.answers, then, strict=True)}
    assert (told[id].content, told[id].changed, told[id].gone) == ("first", True, False)
    assert (told[gone].content, told[gone].changed, told[gone].gone) == ("soon deleted", False, True)
    service.purge(forgotten, ME)
    (older,) = service.accesses(ME, client="claude", what=("list",))
    assert forgotten not in [answer.id for answer in older.answers]
    lost = Access("claude", "list", [Answer("0199f3a1-0000-7000-8000-000000000000")])
    ((told_lost,),) = service.told([lost], ME)
    assert (told_lost.content, told_lost.gone) == (None, True)
    with pytest.raises(Refused):
        service.told([], Actor("claude", tags=("x",)))


def test_a_closed_log_says_so(tmp_path: Path):
    log = AccessLog(tmp_path)
    log.close()
    with pytest.raises(StorageFailed) as closed:
        log.last_id()
    assert closed.value.code == "closed"


def test_what_is_refused_is_an_access_too(user: User):
    service = user.service
    id = service.add(Draft("a"), ME).memory.id
    reader, inbox, capped = (
        Actor("reader", write=False, delete=False, owner=False),
        Actor("inbox", review=True, owner=False),
        Actor("capped", writes_per_hour=1, owner=False),
    )
    service.add(Draft("b"), inbox)
    service.add(Draft("c"), capped)
    attempts = [
        lambda: service.delete(id, reader), lambda: service.add(Draft("d"), reader), lambda: service.purge(id, inbox),
        lambda: service.edit(id, {"content": "e"}, inbox), lambda: service.delete(id, capped),
        lambda: service.undo(reader),
        lambda: service.duplicates(reader), lambda: remember(service, None, Draft("f"), reader),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(Refused):
            attempt()
    results = service.batch(
        [{"op": "delete", "id": id}, {"op": "delete", "id": id}, {"op": "add", "content": "g"}], reader
    )
    assert [result.status for result in results] == [403, 403, 403]
    found = [(a.client, a.what, a.refused) for a in reversed(service.accesses(ME)) if a.refused]
    assert found == [
        ("reader", "delete", "refused"), ("reader", "add", "refused"), ("inbox", "purge", "under_review"),
        ("inbox", "edit", "under_review"), ("capped", "delete", "rate_limited"), ("reader", "undo", "refused"),
        ("reader", "duplicates", "refused"), ("reader", "add", "refused"),
        ("reader", "delete", "refused"), ("reader", "add", "refused"),
    ]  # fmt: skip
    assert not any(a.answers for a in service.accesses(ME) if a.refused)
    assert [a.client for a in service.accesses(ME) if a.review] == ["inbox"]
    told = service.access.following(0, 100)
    assert [(a.what, a.refused, a.review) for a in told if a.refused or a.review][:2] == [
        ("add", None, True), ("delete", "refused", False),
    ]  # fmt: skip

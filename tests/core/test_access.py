from __future__ import annotations

import sqlite3
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from jmem.core.access import Access, AccessLog, Answer
from jmem.core.errors import Invalid, NotFound, Refused
from jmem.core.filter import Filter
from jmem.core.service import Actor, Draft, MemoryService
from tests.core.conftest import User

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
    assert [a.what for a in log.of_memory("b")] == ["get", "search"]
    assert log.of_memory("b")[1].answers == [Answer("b", 0.4)]
    assert log.of_memory("c") == []


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
    assert log.of_memory("3") == []
    assert len(log.of_memory("24")) == 1
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

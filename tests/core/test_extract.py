"""Extraction with the official client against a small local server: facts when it answers well, never a lost text."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Refused, SecretFound
from jmem.core.extract import Extractor, make_extractor
from jmem.core.filter import Filter
from jmem.core.model import Memory
from jmem.core.query import Hit, SearchOutcome, SearchQuery
from jmem.core.remember import remember
from jmem.core.service import MemoryService
from jmem.core.settings import load
from jmem.core.store import MEMORY_COLUMNS, Store, row_memory
from tests.llm import Model, facts, fails, says, send

OWNER = Actor("cli")
PASSAGE = "Hi! I moved to Lisbon in March and I prefer aisle seats now, not window seats."


class NewestFirst:
    """Stands where search stands: finds every visible memory, the newest first."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def search(self, query: SearchQuery) -> SearchOutcome:
        where, params = query.filter.sql("9")
        with self.store.reader() as conn:
            rows = conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE {where} ORDER BY m.id DESC", params)
            hits = [Hit(row_memory(row), 1.0) for row in rows][: query.limit]
        return SearchOutcome(query.query, 0.1, True, "text", hits)


@pytest.fixture(scope="module")
def server() -> Iterator[Model]:
    made = Model()
    yield made
    made.close()


@pytest.fixture
def model(server: Model) -> Model:
    server.asked.clear()
    return server


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MemoryService]:
    store, access = Store.open(tmp_path), AccessLog(tmp_path)
    yield MemoryService(store, access, NewestFirst(store))
    store.close()
    access.close()


@pytest.fixture
def extractor(model: Model) -> Extractor:
    return Extractor(model.url, "small", timeout=5)


def contents(service: MemoryService) -> list[str]:
    return [m.content for m in service.list(Filter(states=()), OWNER, sort="created").memories]


def test_a_passage_becomes_facts(service: MemoryService, model: Model, extractor: Extractor) -> None:
    model.answer = says(
        facts(("Moved to Lisbon in March 2026", None), ("Prefers aisle seats", None), when="2026-03-01")
    )
    draft = Draft(PASSAGE, tags=("me",), metadata={"from": "chat"}, thread="t", speaker="Ann")
    outcome = remember(service, extractor, draft, OWNER)
    assert outcome.inferred
    assert outcome.reason is None
    assert [(m.content, there) for m, there in outcome.memories] == [
        ("Moved to Lisbon in March 2026", False), ("Prefers aisle seats", False)]  # fmt: skip
    for memory, _ in outcome.memories:
        assert (memory.tags, memory.metadata, memory.thread, memory.speaker) == (("me",), {"from": "chat"}, "t", "Ann")
        assert memory.occurred_at is not None
    assert len(service.log(OWNER)[0]) == 1
    sent = model.asked[0]
    assert sent["model"] == "small"
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert model.passage()["passage"] == PASSAGE
    assert model.passage()["speaker"] == "Ann"


def test_facts_supersede_and_known_ones_are_left(service: MemoryService, model: Model, extractor: Extractor) -> None:
    lisbon = service.add(Draft("Lives in Lisbon"), OWNER).memory
    window = service.add(Draft("Prefers window seats"), OWNER).memory
    model.answer = says(facts(("Prefers aisle seats", 1), known=[2, 2, 9, True]))
    outcome = remember(service, extractor, Draft(PASSAGE), OWNER)
    assert [k["text"] for k in model.passage()["known"]] == ["Prefers window seats", "Lives in Lisbon"]
    assert outcome.superseded == [window.id]
    assert outcome.added[0].memory.supersedes == window.id
    assert outcome.known == [lisbon]
    assert len(contents(service)) == 3
    model.answer = says(facts(known=[1]))
    outcome = remember(service, extractor, Draft("I like aisle seats, as I said"), OWNER)
    assert outcome.inferred
    assert [there for _, there in outcome.memories] == [True]
    assert len(contents(service)) == 3


def drip(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Send a byte now and then, for ever: no single read takes long."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "100000")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


def stall(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    time.sleep(3)
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(
    "answer",
    [
        says("I am sorry, I can't help with that."), says("[1, 2]"), says("{"), says(None), says(""),
        says({"memories": "none"}), says({"facts": []}), says({"memories": [{"text": 5}]}), says({"memories": [5]}),
        says({"memories": [{"text": "  "}], "already_known": []}), says(facts()), says(facts(known=[7])),
        says({"memories": [], "already_known": [[1], {"number": 1}]}),
        says(facts(("x" * 5000, None))), says(facts(*[(f"Lisbon {n}", None) for n in range(60)])),
        says(facts(("As an AI language model, here is a poem", None))), says("{" * 50_000),
        says({"memories": [{"text": "Lisbon \ud800", "replaces": None}]}),
        fails(500), fails(401), fails(429), fails(400), fails(404), hang_up,
        lambda h, b: send(h, 200, b"<html>hello</html>", "text/html"), lambda h, b: send(h, 200, b"{}"),
        lambda h, b: send(h, 200, b"not json"), lambda h, b: send(h, 200, b'{"choices":[1]}'),
        lambda h, b: send(h, 302, b""),
    ],
)  # fmt: skip
def test_whatever_the_model_does_the_text_is_kept(
    service: MemoryService, model: Model, extractor: Extractor, answer: Any
) -> None:
    model.answer = answer
    outcome = remember(service, extractor, Draft(PASSAGE, metadata={"a": 1}), OWNER)
    assert not outcome.inferred
    (memory,) = [memory for memory, _ in outcome.memories]
    assert memory.content == PASSAGE
    assert memory.metadata == {"a": 1, "infer": "failed", "infer_reason": outcome.reason}
    assert contents(service) == [PASSAGE]


@pytest.mark.parametrize("answer", [drip, stall])
def test_a_slow_model_is_not_waited_for(service: MemoryService, model: Model, answer: Any) -> None:
    model.answer = answer
    started = time.monotonic()
    outcome = remember(service, Extractor(model.url, "small", timeout=0.5), Draft(PASSAGE), OWNER)
    assert time.monotonic() - started < 2.5
    assert outcome.added[0].memory.content == PASSAGE
    assert outcome.added[0].memory.metadata["infer"] == "failed"


def test_no_server_at_all(service: MemoryService) -> None:
    outcome = remember(service, Extractor("http://127.0.0.1:9/v1", "small", timeout=5), Draft(PASSAGE), OWNER)
    assert contents(service) == [PASSAGE]
    assert outcome.reason is not None
    assert PASSAGE not in outcome.reason


def test_a_server_without_json_schemas_is_asked_in_words(
    service: MemoryService, model: Model, extractor: Extractor
) -> None:
    def picky(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if "response_format" in body:
            fails(400)(handler, body)
        else:
            says("Sure!\n```json\n" + json.dumps(facts(("Prefers aisle seats", None))) + "\n```")(handler, body)

    model.answer = picky
    assert remember(service, extractor, Draft(PASSAGE), OWNER).inferred
    assert len(model.asked) == 2
    assert remember(service, extractor, Draft(PASSAGE + "!"), OWNER).inferred
    assert len(model.asked) == 3  # it is not asked for a schema twice


def test_local_memories_stay_on_this_machine(service: MemoryService, model: Model, extractor: Extractor) -> None:
    model.answer = says(facts(("Prefers aisle seats", None)))
    service.add(Draft("Local secret plan", privacy="local"), OWNER)
    service.add(Draft("Known to all"), OWNER)
    extractor.remote = True  # as if the address were another machine's
    outcome = remember(service, extractor, Draft(PASSAGE, privacy="local"), OWNER)
    assert model.asked == []
    assert outcome.added[0].memory.metadata["infer"] == "skipped"
    remember(service, extractor, Draft(PASSAGE), OWNER)
    assert [k["text"] for k in model.passage()["known"]] == ["Known to all"]
    extractor.allow_remote_for_local = True
    remember(service, extractor, Draft(PASSAGE + " Really.", privacy="local"), OWNER)
    assert "Local secret plan" in [k["text"] for k in model.passage()["known"]]
    extractor.remote, extractor.allow_remote_for_local = False, False
    assert remember(service, extractor, Draft(PASSAGE + " Yes.", privacy="local"), OWNER).inferred


def test_a_local_passage_goes_to_no_embedder_on_another_machine(
    service: MemoryService, model: Model, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.answer = says(facts())
    modes: list[str] = []
    searcher = service.searcher
    assert searcher is not None
    find = searcher.search
    monkeypatch.setattr(searcher, "search", lambda query: [modes.append(query.mode), find(query)][1])
    for remote in (False, True):  # the model is here either way
        monkeypatch.setattr(searcher, "remote", remote, raising=False)
        remember(service, extractor, Draft(PASSAGE, privacy="local"), OWNER)
        remember(service, extractor, Draft(PASSAGE), OWNER)
    extractor.allow_remote_for_local = True
    remember(service, extractor, Draft(PASSAGE, privacy="local"), OWNER)
    assert modes == ["hybrid", "hybrid", "text", "hybrid", "hybrid"]


def test_a_passage_is_not_kept_in_the_access_log(service: MemoryService, model: Model, extractor: Extractor) -> None:
    """A purge of what it became finds the records that answered with it, and this one did not."""
    service.add(Draft("Something else"), OWNER)
    model.answer = says("no facts")
    stored = remember(service, extractor, Draft(PASSAGE), OWNER).added[0].memory
    service.purge(stored.id, OWNER)
    searched = [access for access in service.accesses(OWNER) if access.what == "search"]
    assert [len(access.answers) for access in searched] == [1]
    assert "Lisbon" not in str(searched)


def test_secrets_are_refused_before_the_model_sees_them(
    service: MemoryService, model: Model, extractor: Extractor
) -> None:
    model.answer = says(facts(("The Lisbon wifi has a password", None)))
    text = "In Lisbon the wifi password is hunter2hunter2"
    with pytest.raises(SecretFound):
        remember(service, extractor, Draft(text), OWNER)
    assert model.asked == []
    assert contents(service) == []
    remember(service, extractor, Draft(text, secrets="mask"), OWNER)
    assert "hunter2" not in json.dumps(model.asked)
    extractor.remote = True
    outcome = remember(service, extractor, Draft(text, secrets="allow"), OWNER)
    assert outcome.added[0].memory.content == text
    assert "hunter2" not in json.dumps(model.asked)


def test_a_client_sees_and_writes_within_its_scope(service: MemoryService, model: Model, extractor: Extractor) -> None:
    model.answer = says(facts(("Prefers aisle seats", 1)))
    service.add(Draft("Prefers window seats", tags=("home",)), OWNER)
    scoped = Actor("claude", tags=("work",))
    outcome = remember(service, extractor, Draft(PASSAGE), scoped)
    assert model.passage()["known"] == []
    assert outcome.superseded == []
    assert outcome.added[0].memory.tags == ("work",)
    remember(service, extractor, Draft(PASSAGE), Actor("blind", read=False))
    assert model.passage()["known"] == []
    with pytest.raises(Refused):
        remember(service, extractor, Draft(PASSAGE), Actor("reader", write=False))


def test_a_fact_whose_predecessor_vanished_is_stored_all_the_same(
    service: MemoryService, model: Model, extractor: Extractor
) -> None:
    old = service.add(Draft("Prefers window seats"), OWNER).memory

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        service.delete(old.id, OWNER)
        says(facts(("Prefers aisle seats", 1), ("Moved to Lisbon", None)))(handler, body)

    model.answer = answer
    outcome = remember(service, extractor, Draft(PASSAGE), OWNER)
    assert sorted(m.content for m, _ in outcome.memories) == ["Moved to Lisbon", "Prefers aisle seats"]
    assert outcome.superseded == []


def test_it_is_off_until_a_model_is_set(tmp_path: Path, service: MemoryService) -> None:
    assert make_extractor(load({"JMEM_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-x", "OPENAI_MODEL": "gpt"})) is None
    both = {"JMEM_HOME": str(tmp_path), "JMEM_LLM_BASE_URL": "https://example.org/v1", "OPENAI_MODEL": "gpt"}
    made = make_extractor(load(both))
    assert made is not None
    assert made.remote
    outcome = remember(service, None, Draft(PASSAGE), OWNER)
    assert not outcome.inferred
    assert outcome.reason == "no model is set: jmem config set llm.model NAME"
    assert outcome.added[0].memory.metadata == {}


def test_the_answer_names_memories_not_ids() -> None:
    """The model is given numbers, so it can't name a memory it was not shown."""
    from jmem.core.extract import parse_answer

    known = [Memory("0199f3a1-c2d4-7b3e-9c1a-0123456789ab", "Old")]
    extraction = parse_answer(json.dumps(facts(("New Lisbon fact", 5))), "Lisbon", known)
    assert extraction.facts[0].replaces is None

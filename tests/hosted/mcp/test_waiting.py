"""What a program writes when the owner looks at it first, caps it, or lets a model take it apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hosted.memories.inferring import Inference
from jmem.core.extract import Extractor
from tests.hosted.identity.conftest import Running
from tests.hosted.mcp.conftest import PUBLIC, Here, Person, in_process, sign_up
from tests.hosted.mcp.raw import ACCEPT, call
from tests.llm import Model, facts, fails, says


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.close()


@pytest.fixture(scope="module")
def here(environment: dict[str, str], model: Model) -> Iterator[Here]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "hosted.app.inference_of", lambda settings: Inference(Extractor(model.url, "some-model", "sk-test"))
        )
        with in_process(environment) as made:
            yield made


@pytest.fixture
def ann(here: Here, supabase: Running) -> Person:
    return sign_up(supabase, here.url)


def ask(here: Here, address: str, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = httpx.post(here.at(address), json=call(tool, **arguments), headers=ACCEPT, timeout=30)
    found: dict[str, Any] = answer.raise_for_status().json()["result"]
    return found


def test_what_waits_says_so_and_is_seen_by_its_writer_alone(here: Here, ann: Person) -> None:
    at = ann.connect("careful", review=True)["http"]
    other = ann.connect("other")["http"]
    saved = ask(here, at, "add_memories", text="Ann plays the oboe")
    assert saved["content"][0]["text"].startswith("Saved; it waits until its owner has looked at it:")
    memory = saved["structuredContent"]["memories"][0]
    assert memory["state"] == "review"
    assert ask(here, other, "list_memories")["structuredContent"]["memories"] == []
    accepted = ann.must("POST", "/memories", {"content": "Ann plays the harp"})
    refused = ask(here, at, "delete_memories", memory_ids=[accepted["id"]])
    assert refused["isError"] is True
    assert f"{PUBLIC}/connections" in refused["content"][0]["text"]
    gone = ask(here, at, "delete_memories", memory_ids=[memory["id"]])
    assert gone["structuredContent"]["deleted"] == [memory["id"]]


def test_beyond_its_cap_a_program_is_told_when_it_may_go_on(here: Here, ann: Person) -> None:
    at = ann.connect("eager", writes_per_hour=2)["http"]
    for n in range(2):
        assert not ask(here, at, "add_memories", text=f"Fact {n}").get("isError")
    refused = ask(here, at, "add_memories", text="Fact 3")
    assert refused["isError"] is True
    assert "hour" in refused["content"][0]["text"]
    assert len(ask(here, at, "list_memories")["structuredContent"]["memories"]) == 2


def test_a_passage_is_taken_apart(here: Here, ann: Person, model: Model) -> None:
    model.answer = says(facts(("Ann moved to Lisbon", None), ("Ann prefers aisle seats", None)))
    passage = "Hi! I moved to Lisbon and I prefer aisle seats now."
    saved = ask(here, ann.connect()["http"], "add_memories", text=passage, infer=True)
    assert saved["content"][0]["text"].startswith("Saved 2 memories; 0 known already:")
    assert len(saved["structuredContent"]["memories"]) == 2
    model.answer = fails(500)
    saved = ask(here, ann.connect("cursor")["http"], "add_memories", text="Ann keeps a parrot in Lisbon", infer=True)
    assert saved["content"][0]["text"].startswith("Saved word for word (")
    assert saved["structuredContent"]["memories"][0]["content"] == "Ann keeps a parrot in Lisbon"

"""`infer` in the hosted account, with the official client against a small local server: never a lost text."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from hosted.db.engine import Database
from hosted.memories.activity import Activity
from hosted.memories.inferring import Inference, inference_of
from hosted.memories.service import Backend, Memories
from hosted.ops.events import Bus
from hosted.settings import Settings
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Refused, SecretFound
from jmem.core.extract import ExtractionFailed, Extractor
from jmem.core.filter import Filter
from tests.llm import Model, facts, fails, says, send

OWNER = Actor("web")
PASSAGE = "Hi! I moved to Lisbon in March and I prefer aisle seats now, not window seats."


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
async def backend(database: Database, model: Model) -> AsyncIterator[Backend]:
    inference = Inference(Extractor(model.url, "gpt-4o-mini", "sk-test"), at_once=2)
    yield Backend(database, Bus(), activity=Activity(database), inference=inference)
    inference.close()


@pytest.fixture
def mine(backend: Backend, user: uuid.UUID) -> Memories:
    return backend.of(user)


async def contents(mine: Memories) -> list[str]:
    return sorted(memory.content for memory in (await mine.list(Filter(), OWNER)).memories)


async def test_facts_are_stored_and_take_the_place_of_the_accounts_own_memories_alone(
    mine: Memories, backend: Backend, model: Model
) -> None:
    other = backend.of(uuid.uuid4())
    await other.add(Draft("Somebody else prefers window seats in Lisbon"), OWNER)
    old = (await mine.add(Draft("I prefer window seats", tags=("travel",)), OWNER)).memory
    hidden = (await mine.add(Draft("Lisbon seats are a secret", tags=("private",)), OWNER)).memory
    model.answer = says(facts(("I moved to Lisbon in March", None), ("I prefer aisle seats", 1), when="2026-03-01"))
    scoped = Actor("claude", tags=("travel",), owner=False)
    done = await mine.remember(Draft(PASSAGE, thread="t"), scoped)
    assert done.inferred
    assert done.superseded == [old.id]
    assert [(a.memory.content, a.memory.tags, a.memory.thread, a.memory.occurred_at) for a in done.added] == [
        ("I moved to Lisbon in March", ("travel",), "t", "2026-03-01T00:00:00.000Z"),
        ("I prefer aisle seats", ("travel",), "t", "2026-03-01T00:00:00.000Z"),
    ]
    assert [one["text"] for one in model.passage()["known"]] == ["I prefer window seats"]
    assert hidden.content not in str(model.asked)
    assert (await mine.get(old.id, OWNER)).superseded_by == done.added[1].memory.id
    assert (model.asked[-1]["model"], model.asked[-1]["headers"]["authorization"]) == ("gpt-4o-mini", "Bearer sk-test")
    known = await mine.accesses(OWNER, what=["search"])
    assert [a.query for a in known] == [None]  # the passage's words are not kept where a purge would miss them
    assert [u.kind for u in (await mine.undo(OWNER)).undone] == ["add"]
    assert await contents(mine) == ["I prefer window seats", "Lisbon seats are a secret"]


async def test_what_is_known_already_is_named_and_not_stored_again(mine: Memories, model: Model) -> None:
    old = (await mine.add(Draft("I moved to Lisbon in March"), OWNER)).memory
    model.answer = says(facts(known=[1]))
    done = await mine.remember(Draft(PASSAGE), OWNER)
    assert (done.inferred, done.added, [m.id for m in done.known]) == (True, [], [old.id])


@pytest.mark.parametrize(
    "answer", [fails(500), fails(401), says("no JSON at all"), says(None), says(facts(("Nothing of that", None)))]
)
async def test_a_model_that_fails_loses_no_text(mine: Memories, model: Model, answer: Any) -> None:
    model.answer = answer
    done = await mine.remember(Draft(PASSAGE, metadata={"own": 1}), OWNER)
    assert not done.inferred
    memory = done.added[0].memory
    assert memory.content == PASSAGE
    assert {**memory.metadata, "infer_reason": ""} == {"own": 1, "infer": "failed", "infer_reason": ""}
    assert memory.metadata["infer_reason"] == done.reason


async def test_a_model_that_dawdles_is_not_waited_for_and_holds_no_connection(
    database_url: str, user: uuid.UUID, model: Model
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def wait(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        asked.set()
        go_on.wait(10)
        send(handler, 500, b"{}")

    model.answer = wait
    database = Database(database_url, pool_size=1, timeout=2)
    inference = Inference(Extractor(model.url, "m", "k", timeout=0.8), at_once=1)
    mine = Backend(database, Bus(), inference=inference).of(user)
    both = [asyncio.create_task(mine.remember(Draft(f"{n}: {PASSAGE}"), OWNER)) for n in range(2)]
    async with asyncio.timeout(5):
        while not asked.is_set():
            await asyncio.sleep(0.01)
    await mine.add(Draft("meanwhile"), OWNER)  # over the only connection
    reasons = sorted([str((await task).reason) for task in both])
    go_on.set()
    assert reasons[0] == "the model gave no answer within 0.8 s"
    assert reasons[1] in ("too many passages wait for the model", reasons[0])
    assert await contents(mine) == [f"0: {PASSAGE}", f"1: {PASSAGE}", "meanwhile"]
    inference.close()
    await database.close()


async def test_waiting_for_others_and_for_the_model_is_one_time(
    database: Database, user: uuid.UUID, model: Model
) -> None:
    """So that the passage is stored before the request is given up."""

    class Slow(Extractor):
        takes = iter((1.2, 1.5))

        def extract(self, *_: Any, **__: Any) -> Any:
            threading.Event().wait(next(self.takes))
            raise ExtractionFailed("too slow")

    inference = Inference(Slow(model.url, "m", "k", timeout=1.5), at_once=1)
    mine = Backend(database, Bus(), inference=inference).of(user)
    async with asyncio.timeout(2.5):
        done = await asyncio.gather(*(mine.remember(Draft(f"{n}: {PASSAGE}"), OWNER) for n in range(2)))
    assert [one.inferred for one in done] == [False, False]
    assert await contents(mine) == [f"0: {PASSAGE}", f"1: {PASSAGE}"]
    inference.close()


async def test_the_model_is_asked_by_so_many_at_once_and_no_more(mine: Memories, model: Model) -> None:
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def slow(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        threading.Event().wait(0.05)
        with lock:
            state["now"] -= 1
        says(facts(("I moved to Lisbon", None)))(handler, body)

    model.answer = slow
    done = await asyncio.gather(*(mine.remember(Draft(f"I moved to Lisbon {n}"), OWNER) for n in range(6)))
    assert all(one.inferred for one in done)
    assert state["most"] == 2


async def test_secrets_stay_here_and_refusals_are_told(mine: Memories, backend: Backend, model: Model) -> None:
    assert backend.inference is not None
    backend.inference.extractor.remote = True
    model.answer = says(facts(("x", None)))
    secret = "my password: hunter2xyz9!Q"
    with pytest.raises(SecretFound):
        await mine.remember(Draft(secret), OWNER)
    done = await mine.remember(Draft(secret, secrets="allow"), OWNER)
    assert (done.added[0].memory.metadata["infer"], model.asked) == ("skipped", [])
    with pytest.raises(Refused):
        await mine.remember(Draft("x"), Actor("reader", write=False, owner=False))
    assert [a.what for a in await mine.accesses(OWNER, client="reader")] == ["add"]


async def test_review_and_caps_hold_for_what_a_model_makes(mine: Memories, model: Model) -> None:
    model.answer = says(facts(("I moved to Lisbon in March", None), ("I prefer aisle seats", None)))
    done = await mine.remember(Draft(PASSAGE), Actor("guest", review=True, owner=False))
    assert {a.memory.state for a in done.added} == {"review"}
    capped = await mine.remember(Draft(PASSAGE), Actor("capped", writes_per_hour=1, owner=False))
    assert [a.memory.content for a in capped.added] == [PASSAGE]
    assert capped.added[0].memory.metadata["infer"] == "failed"


def test_it_is_off_until_it_is_configured() -> None:
    for settings in (
        Settings(database_url=""), Settings(database_url="", openai_api_key="k"),
        Settings(database_url="", llm_provider="openai"),
    ):  # fmt: skip
        assert inference_of(settings) is None
    made = inference_of(Settings(database_url="", llm_provider="openai", openai_api_key="k", openai_model="gpt-x"))
    assert made is not None
    assert (made.extractor.model, made.extractor.base_url, made.extractor.remote) == (
        "gpt-x", "https://api.openai.com/v1", True,
    )  # fmt: skip
    made.close()

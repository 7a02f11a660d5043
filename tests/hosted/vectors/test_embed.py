"""Embeddings: gathered, remembered by account, and failing in ways that search survives."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn

from hosted.vectors.embed import (
    BATCH_TEXTS,
    Embeddings,
    LocalSource,
    Model,
    OpenAISource,
    Rejected,
    configured,
    source_of,
)
from jmem.core.embed import EmbedderUnavailable
from jmem.core.errors import Invalid
from tests.hosted.vectors.conftest import Words

ANN, BOB = uuid.uuid4(), uuid.uuid4()


@dataclass
class Server:
    """A server that speaks OpenAI's embeddings: it answers with `statuses` first, if there are any."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    refuses: Callable[[str], bool] = lambda text: False
    number: float = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = json.loads(raw)
        self.asked.append(body)
        status = self.statuses.pop(0) if self.statuses else 200
        if any(map(self.refuses, body["input"])):
            status = 400
        size = {"text-embedding-3-large": 3072}.get(body["model"], 1536)
        rows = [
            {"object": "embedding", "index": n, "embedding": [float(len(text))] + [self.number] * (size - 1)}
            for n, text in enumerate(body["input"])
        ]
        answer = {
            "object": "list",
            "model": body["model"],
            "data": rows[::-1],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        told = answer if status == 200 else {"error": {"message": "told to fail"}}
        headers = [(b"content-type", b"application/json"), (b"retry-after-ms", b"1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    running = uvicorn.Server(uvicorn.Config(made, port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    made.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/v1"
    yield made
    running.should_exit = True
    await task


@pytest.fixture
async def openai(server: Server) -> AsyncIterator[Embeddings]:
    made = Embeddings(OpenAISource("text-embedding-3-small", "sk-test", server.url))
    yield made
    await made.close()


async def test_texts_of_many_requests_go_in_few_questions(openai: Embeddings, server: Server) -> None:
    found = await asyncio.gather(*(openai.texts(uuid.uuid4(), [f"text {n}", "same"]) for n in range(40)))
    assert sum(len(body["input"]) for body in server.asked) <= 40 + len(server.asked)
    assert len(server.asked) <= 3
    assert all(len(body["input"]) <= BATCH_TEXTS for body in server.asked)
    assert {float(v[0]) for pair in found for v in pair if v is not None} == {4.0, 6.0, 7.0}


async def test_a_text_is_embedded_once_for_an_account(openai: Embeddings, server: Server) -> None:
    await openai.texts(ANN, ["the same"])
    await openai.texts(ANN, ["the same"])
    await openai.query(ANN, "the same")
    assert len(server.asked) == 1
    await openai.texts(BOB, ["the same"])  # that Ann has it is not told by how fast it is
    assert len(server.asked) == 2
    openai.forget()
    await openai.texts(ANN, ["the same"])
    assert len(server.asked) == 3


async def test_bulk_is_tried_again_a_question_is_not(openai: Embeddings, server: Server) -> None:
    server.statuses = [500, 429]
    (vector,) = await openai.texts(ANN, ["a"])
    assert vector is not None
    assert len(server.asked) == 3
    server.statuses = [503]
    with pytest.raises(EmbedderUnavailable):
        await openai.query(ANN, "b")
    assert len(server.asked) == 4
    with pytest.raises(EmbedderUnavailable, match="a moment ago"):
        await openai.query(ANN, "c")
    assert len(server.asked) == 4


async def test_a_text_that_is_refused_stops_no_other(openai: Embeddings, server: Server) -> None:
    server.refuses = lambda text: text == "poison"
    mine, theirs = await asyncio.gather(openai.texts(ANN, ["poison", "good"]), openai.texts(BOB, ["fine"]))
    assert mine[0] is None
    assert mine[1] is not None
    assert theirs[0] is not None
    with pytest.raises(Rejected):
        await openai.query(ANN, "poison")
    assert await openai.query(ANN, "well") is not None  # the embedder does not rest for that


async def test_an_answer_of_another_shape_is_a_failure(server: Server) -> None:
    source = OpenAISource("text-embedding-3-small", "sk-test", server.url)
    source.model = Model("openai", "text-embedding-3-small", 99)
    with pytest.raises(EmbedderUnavailable, match="99"):
        await source.ask(["a"], query=True)
    await source.close()


async def test_an_answer_with_what_is_no_number_is_a_failure(openai: Embeddings, server: Server) -> None:
    server.number = float("nan")
    with pytest.raises(EmbedderUnavailable, match="no number"):
        await openai.query(ANN, "a")


async def test_what_is_forgotten_while_it_is_made_is_not_remembered() -> None:
    entered, go, source = asyncio.Event(), asyncio.Event(), Words()
    ask = source.ask

    async def slow(texts: Any, *, query: bool) -> Any:
        entered.set()
        await go.wait()
        return await ask(texts, query=query)

    source.ask = slow  # type: ignore[method-assign]
    embeddings = Embeddings(source)
    asked = asyncio.create_task(embeddings.texts(ANN, ["purged meanwhile"]))
    await entered.wait()
    embeddings.forget()
    go.set()
    await asked
    await embeddings.texts(ANN, ["purged meanwhile"])
    assert source.asked == [["purged meanwhile"]] * 2


@pytest.mark.parametrize("answer", [RuntimeError("of the model's own"), [], ValueError("not a shape")])
async def test_whatever_the_embedder_does_nobody_waits_for_ever(answer: Any) -> None:
    class Odd(Words):
        async def ask(self, texts: Any, *, query: bool) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    embeddings = Embeddings(Odd())
    async with asyncio.timeout(2):
        with pytest.raises(EmbedderUnavailable, match="the embedder failed"):
            await embeddings.texts(ANN, ["one", "two"])
        with pytest.raises(EmbedderUnavailable, match="the embedder failed"):
            await embeddings.query(ANN, "three")


async def test_a_request_that_was_given_up_stops_no_other() -> None:
    source = Words()
    embeddings = Embeddings(source)
    gone = asyncio.create_task(embeddings.texts(ANN, ["gone"]))
    kept = asyncio.create_task(embeddings.texts(ANN, ["kept"]))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await kept)[0] is not None


@pytest.mark.parametrize(
    ("name", "size"),
    [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072), ("text-embedding-ada-002", 1536)],
)
async def test_models_and_their_collections(name: str, size: int) -> None:
    source = configured("", name, "sk-test")
    assert source.model == Model("openai", name, size)
    assert Model.of_suffix(source.model.suffix) == source.model
    again = source_of(source.model, "sk-test")
    assert again is not None
    await again.close()
    await source.close()
    assert source_of(source.model, "") is None
    assert source_of(Model("openai", name, 7), "sk-test") is None


def test_settings_that_can_not_be() -> None:
    for given in (("openai", "", ""), ("openai", "my-model", "sk-test"), ("cohere", "", "sk-test")):
        with pytest.raises(Invalid):
            configured(*given)


async def test_the_bundled_embedder_serves_without_a_key() -> None:
    source = configured("", "text-embedding-3-small", "")
    assert isinstance(source, LocalSource)
    assert Model.of_suffix(source.model.suffix) == source.model
    embeddings = Embeddings(source)
    near, far = await embeddings.texts(ANN, ["I take my coffee black", "Rent is due on Friday"])
    question = await embeddings.query(ANN, "how do I drink coffee")
    assert near is not None
    assert far is not None
    assert np.dot(near, question) > np.dot(far, question) + 0.2
    await embeddings.close()

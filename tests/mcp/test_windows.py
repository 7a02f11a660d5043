"""Several windows of one client at once: whoever asks gets the answer, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from bench.home import JMEM, Home
from tests.mcp.raw import HELLO, Lines, Session, Stream

ROUNDS = 25
Ask = Callable[[int, str], str]
"""(JSON-RPC id, text to remember) -> the content that the answer carries"""


def content(result: Any) -> str:
    return str(result["structuredContent"]["memories"][0]["content"])


@pytest.fixture
def windows(request: pytest.FixtureRequest, home: Home) -> Iterator[list[Ask]]:
    """Two windows of the same client, with the same key, over one transport."""
    urls = home.json("connect", "claude", "--print")
    with ExitStack() as stack:
        asks: list[Ask] = []
        for _ in range(2):
            match request.param:
                case "sse":
                    asks.append(_over_sse(stack, urls["sse"]))
                case "http":
                    asks.append(_over_http(urls["http"]))
                case _:
                    asks.append(_over_stdio(stack, home))
        yield asks


def _call(id: int, text: str) -> dict[str, Any]:
    params = {"name": "add_memories", "arguments": {"text": text}}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}


def _over_http(url: str) -> Ask:
    session = Session(url, hello=True)

    def ask(id: int, text: str) -> str:
        status, _, body = session.send("tools/call", {"name": "add_memories", "arguments": {"text": text}}, id=id)
        answer = json.loads(body)
        assert (status, answer["id"]) == (200, id)
        return content(answer["result"])

    return ask


def _over_sse(stack: ExitStack, url: str) -> Ask:
    stream = Stream(url)
    stack.callback(stream.close)
    stream.ask("initialize", HELLO, id=0)

    def ask(id: int, text: str) -> str:
        assert stream.post(_call(id, text)) == 202
        answer = stream.message()
        assert answer["id"] == id
        return content(answer["result"])

    return ask


def _over_stdio(stack: ExitStack, home: Home) -> Ask:
    lines = stack.enter_context(Lines([JMEM, "mcp", "--client", "claude"], home.env))
    lines.ask("initialize", HELLO)

    def ask(id: int, text: str) -> str:
        lines.send(_call(id, text))
        answer = lines.next()
        assert answer["id"] == id
        return content(answer["result"])

    return ask


@pytest.mark.parametrize("windows", ["sse", "http", "stdio"], indirect=True)
def test_two_windows_never_get_each_others_answers(windows: list[Ask], request: pytest.FixtureRequest) -> None:
    def work(window: int) -> list[tuple[str, str]]:
        pairs = []
        for number in range(ROUNDS):
            text = f"{request.node.name}: window {window}, round {number}"
            pairs.append((text, windows[window](number, text)))  # the same ids in both windows
        return pairs

    with ThreadPoolExecutor(2) as threads:
        for pairs in threads.map(work, range(2)):
            assert [said for said, _ in pairs] == [heard for _, heard in pairs]


def test_answers_of_one_stream_come_back_by_their_ids(home: Home) -> None:
    stream = Stream(home.json("connect", "claude", "--print")["sse"])
    stream.ask("initialize", HELLO, id=0)
    wanted = {f"id-{number}": f"one stream, many requests, {number}" for number in range(12)}
    with ThreadPoolExecutor(6) as threads:
        statuses = list(threads.map(lambda pair: stream.post(_call(*pair)), wanted.items()))  # type: ignore[arg-type]
    assert statuses == [202] * len(wanted)
    answers = [stream.message() for _ in wanted]
    assert {a["id"]: content(a["result"]) for a in answers} == wanted
    stream.close()


def test_what_two_windows_add_is_kept_apart_as_two_conversations(home: Home) -> None:
    url = home.json("connect", "zed", "--print")["http"]
    for window in range(2):
        Session(url, hello=True).tool("add_memories", text=f"provenance of window {window}")
    with closing(home.api()) as api:
        memories = [m for m in api.every(client="zed") if m["content"].startswith("provenance")]
    threads = {memory["thread"] for memory in memories}
    assert len(threads) == 2
    assert all(thread.startswith("mcp:zed:") for thread in threads)

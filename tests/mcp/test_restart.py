"""The daemon dies or is restarted while clients are connected: they go on without shaking hands again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.home import JMEM, Home, temporary_home, wait_for
from tests.mcp.raw import HELLO, Lines, Session, Stream


@pytest.fixture
def own() -> Iterator[Home]:
    """A home whose daemon the test may kill."""
    with temporary_home() as made:
        made.start()
        yield made


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_session_goes_on_after_a_restart(own: Home, end: str) -> None:
    session = Session(own.json("connect", "claude", "--print")["http"], hello=True)
    before = session.tool("add_memories", text="said before the restart")["structuredContent"]["memories"][0]
    getattr(own, end)()
    own.start()
    after = session.tool("add_memories", text="said after the restart")["structuredContent"]["memories"][0]
    found = session.tool("list_memories")["structuredContent"]["memories"]
    assert [memory["id"] for memory in found] == [after["id"], before["id"]]
    threads = {own.json("show", id)["thread"] for id in (before["id"], after["id"])}
    assert len(threads) == 1, "it is still the same conversation"


def test_a_stream_is_opened_again_and_serves_without_a_handshake(own: Home) -> None:
    url = own.json("connect", "claude", "--print")["sse"]
    stream = Stream(url)
    stream.ask("initialize", HELLO, id=0)
    old = stream.endpoint
    own.kill()
    own.start()
    again = Stream(url)
    assert again.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, old) == 404
    call = {"name": "add_memories", "arguments": {"text": "after the stream broke"}}
    answer = again.ask("tools/call", call, id=2)
    assert answer["id"] == 2
    assert answer["result"]["structuredContent"]["memories"][0]["content"] == "after the stream broke"
    again.close()
    stream.close()


def test_a_stopping_daemon_ends_streams_after_their_answers(own: Home) -> None:
    stream = Stream(own.json("connect", "claude", "--print")["sse"])
    stream.ask("initialize", HELLO, id=0)
    own.stop()
    assert stream.events.get(timeout=20) is None
    stream.close()


def test_the_relay_goes_on_after_a_kill(own: Home) -> None:
    with Lines([JMEM, "mcp", "--client", "claude"], own.env) as lines:
        lines.ask("initialize", HELLO)
        lines.tool("add_memories", text="before the kill")
        pid = own.pid
        own.kill()
        found = lines.tool("list_memories")["structuredContent"]["memories"]
        assert [memory["content"] for memory in found] == ["before the kill"]
        assert own.pid not in (None, pid)


def test_kills_in_the_middle_of_many_relayed_adds_lose_none_and_double_none(own: Home) -> None:
    """Four windows add while the daemon is killed again and again; every acknowledged text is there, once."""
    count, windows = 20, 4
    acknowledged: list[str] = []

    def killer() -> None:
        for answers in (10, 35, 60):
            wait_for(lambda answers=answers: len(acknowledged) >= answers, 60, f"{answers} answers")
            own.kill()

    def window(number: int) -> None:
        with Lines([JMEM, "mcp", "--client", "claude"], own.env) as lines:
            lines.ask("initialize", HELLO)
            for turn in range(count):
                result = lines.tool("add_memories", text=f"window {number} says {turn}")
                assert not result.get("isError"), result
                acknowledged.append(result["structuredContent"]["memories"][0]["content"])
            assert lines.end() == 0

    with ThreadPoolExecutor(windows + 1) as threads:
        for future in [threads.submit(killer), *(threads.submit(window, number) for number in range(windows))]:
            future.result()
    own.start()
    stored = [memory["content"] for memory in own.json("list", "-n", "1000")["memories"]]
    assert sorted(stored) == sorted(acknowledged)
    assert len(stored) == len(set(stored)) == windows * count

"""Parts by themselves: session ids, sizes of answers, keep-alive, what the relay may repeat."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from jmem.cli.commands.mcp import MAX_LINE_BYTES, repeatable
from jmem.core.mcp import exchange, streamable
from jmem.core.mcp.arguments import Add, Delete, List, Search, schema
from jmem.core.mcp.render import fit, lines
from jmem.core.mcp.sessions import Sessions, thread_of
from jmem.core.model import MAX_ANSWER_BYTES, MAX_BATCH_BYTES


def test_a_session_id_proves_whose_it_is() -> None:
    sessions = Sessions(b"secret")
    id = sessions.new("user", "claude")
    assert sessions.known(id, "user", "claude")
    assert Sessions(b"secret").known(id, "user", "claude"), "and after a restart"
    assert not Sessions(b"other secret").known(id, "user", "claude")
    for user, client in (("other", "claude"), ("user", "cursor"), ("userc", "laude"), ("", "")):
        assert not sessions.known(id, user, client)
    for forged in ("", ".", id[:-1], id + "0", id.upper(), "x" + id, id.replace(".", ""), "ü.ü"):
        assert not sessions.known(forged, "user", "claude")
    assert all(0x21 <= ord(character) <= 0x7E for character in id)
    assert id != sessions.new("user", "claude")


def test_an_ended_session_is_forgotten_in_time() -> None:
    sessions = Sessions(b"secret")
    id = sessions.new("user", "claude")
    sessions.end(id)
    assert not sessions.known(id, "user", "claude")
    for _ in range(10_000):
        sessions.end(sessions.new("user", "claude"))
    assert len(sessions._ended) == 10_000


def test_a_thread_names_the_client_and_the_conversation() -> None:
    assert thread_of("claude", "0123456789abcdef.ff") == "mcp:claude:01234567"


def test_what_fits_into_an_answer_is_counted_in_bytes() -> None:
    items = [{"id": str(number), "content": "\x01" * 10_000} for number in range(20)]
    fitted = fit(items)
    whole = exchange.encode({"data": fitted.items, "text": fitted.text})
    assert 0 < len(fitted.items) < 20
    assert fitted.left_out == 20 - len(fitted.items)
    assert len(whole) < MAX_ANSWER_BYTES
    assert len(whole) > MAX_ANSWER_BYTES * 0.7


def test_the_largest_memory_fits() -> None:
    fitted = fit([{"id": "1", "content": "x" * 65_000 + "\x01" * 10_000}])
    assert fitted.left_out == 0


def test_a_memory_as_text_has_its_id_its_date_and_its_tags() -> None:
    entry = {"id": "0199", "content": "It rained", "tags": ["a", "b"], "created_at": "2026-11-22T20:13:05.123Z"}
    assert lines(entry) == "- It rained\n  (id 0199; 2026-11-22; tags a, b)"
    happened = {
        **entry,
        "occurred_at": "2023-05-08T00:00:00.000Z",
        "client": "claude",
        "speaker": "Ann",
        "also": ["0200"],
    }
    assert "2023-05-08" in lines(happened, 1)
    assert lines(happened, 1).startswith("1. It rained")
    assert lines(happened).endswith("speaker Ann; from claude; the same again under 0200)")


@pytest.mark.parametrize("model", [Add, Search, List, Delete])
def test_schemas_are_plain_enough_for_every_client(model: Any) -> None:
    made = schema(model)
    text = json.dumps(made)
    assert made["type"] == "object"
    assert made["additionalProperties"] is False
    assert not any(word in text for word in ('"anyOf"', '"null"', '"default"', '"title"', "$ref"))
    assert all(value["description"] and value["type"] for value in made["properties"].values())


async def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable, "KEEP_ALIVE_SECONDS", 0.01)
    events: asyncio.Queue[Any] = asyncio.Queue()
    assert await streamable.next_event(events) == b": keep-alive\n\n"
    await events.put({"jsonrpc": "2.0", "method": "x"})
    assert await streamable.next_event(events) == b'event: message\ndata: {"jsonrpc":"2.0","method":"x"}\n\n'
    await events.put(None)
    assert await streamable.next_event(events) is None


def test_an_answer_never_breaks_its_event() -> None:
    event = streamable.sse_event({"text": "one\ntwo\r\nthree\u2028four\ud800"})
    assert event.count(b"\n") == 3
    assert event.endswith(b"\n\n")
    assert json.loads(event.splitlines()[1][6:])["text"] == "one\ntwo\r\nthree\u2028four?"


@pytest.mark.parametrize(
    ("accept", "takes"),
    [
        ("application/json, text/event-stream", (True, True)),
        ("*/*", (True, True)),
        ("application/json;q=0.9", (True, False)),
        ("text/event-stream", (False, True)),
        ("text/html, image/png", (False, False)),
        ("", (False, False)),
    ],
)
def test_accept_headers(accept: str, takes: tuple[bool, bool]) -> None:
    assert streamable.accepted(accept) == takes


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def test_what_the_relay_repeats_after_a_crash() -> None:
    for harmless in (
        {"id": 1, "method": "initialize"},
        {"id": 1, "method": "tools/list", "params": {}},
        call("search_memory", query="x"),
        call("list_memories"),
        call("add_memories", text="x"),
        call("add_memories", text="x", infer=False),
    ):
        assert repeatable(harmless)
    for other in (
        call("add_memories", text="x", infer=True),
        call("delete_memories", memory_ids=["x"]),
        call("delete_all_memories", confirm=True),
        call("something_new"),
        {"id": 1, "method": "tools/call"},
        {"id": 1, "method": "tools/call", "params": []},
    ):
        assert not repeatable(other)


def test_the_relay_and_the_daemon_agree_on_the_largest_message() -> None:
    from daemon.dispatch import MAX_BODY_BYTES

    assert MAX_LINE_BYTES == MAX_BODY_BYTES > MAX_BATCH_BYTES


def test_the_sdk_is_not_imported_with_the_package() -> None:
    code = "import sys, daemon.mcp; sys.exit(any(name in sys.modules for name in ('mcp', 'mcp_types', 'starlette')))"
    import subprocess

    subprocess.run([sys.executable, "-P", "-c", code], check=True)

"""Who may ask: the path's key, for every request anew. Each refusal is shown beside the same request that passes."""

from __future__ import annotations

import functools
import json
import uuid
from contextlib import closing
from typing import Any

import pytest

from bench.home import Home
from tests.mcp.raw import HELLO, Session, Stream, request

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@functools.cache
def urls(home: Home, client: str, user: str | None = None) -> dict[str, Any]:
    """What connect prints for a client."""
    return dict(home.json(*(("--user", user) if user else ()), "connect", client, "--print"))


def with_key(url: str, key: str) -> str:
    """The same address with another key."""
    head, _, rest = url.partition("/mcp/")
    client, transport, _, *more = rest.split("/")
    return "/".join((f"{head}/mcp/{client}/{transport}/{key}", *more))


def key_of(url: str) -> str:
    return url.partition("/mcp/")[2].split("/")[2]


def test_only_the_clients_own_key_opens_its_address(home: Home) -> None:
    claude, cursor = urls(home, "claude")["http"], urls(home, "cursor")["http"]
    assert request("POST", claude, LIST)[0] == 200
    for wrong in (key_of(cursor), str(uuid.uuid4()), key_of(claude)[:-1] + "g", key_of(claude).upper() + "0", "x"):
        assert request("POST", with_key(claude, wrong), LIST)[0] == 404
    assert request("POST", with_key(cursor, key_of(claude)), LIST)[0] == 404
    assert request("POST", claude.replace("/claude/", "/nobody/"), LIST)[0] == 404


def test_the_legacy_stream_opens_only_with_the_clients_own_key(home: Home) -> None:
    claude, cursor = urls(home, "claude")["sse"], urls(home, "cursor")["sse"]
    for wrong in (with_key(claude, key_of(cursor)), with_key(claude, str(uuid.uuid4()))):
        assert request("GET", wrong)[0] == 404
    Stream(claude).close()


def test_a_message_for_a_stream_must_come_by_the_streams_own_path(home: Home) -> None:
    claude, cursor = urls(home, "claude")["sse"], urls(home, "cursor")["sse"]
    stream, other = Stream(claude), Stream(cursor)
    session = stream.endpoint.partition("?")[2]
    path = stream.endpoint.partition("?")[0]
    hello = {"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": HELLO}
    wrong = {
        "another client's path, key and all": other.endpoint.partition("?")[0] + "?" + session,
        "another client's key": with_key(path, key_of(cursor)) + "?" + session,
        "an unknown key": with_key(path, str(uuid.uuid4())) + "?" + session,
        "an unknown session": f"{path}?session_id={uuid.uuid4().hex}",
        "another client's session": path + "?" + other.endpoint.partition("?")[2],
        "no session": path,
    }
    for what, endpoint in wrong.items():
        assert stream.post(hello, endpoint) == 404, what
    assert stream.post(hello) == 202
    assert stream.message()["id"] == 7
    assert other.ask("initialize", HELLO, id=8)["id"] == 8  # and nothing else had arrived there
    stream.close()
    other.close()


def test_the_user_and_the_client_come_from_each_requests_own_path(home: Home) -> None:
    """A user of a stream that was opened first must not be taken for the one whose message it is."""
    with closing(home.api(user="anna")) as api:
        api.add("Anna keeps bees on the roof")
    mine, hers = Stream(urls(home, "claude")["sse"]), Stream(urls(home, "claude", "anna")["sse"])
    arguments = {"name": "search_memory", "arguments": {"query": "bees on the roof"}}
    for stream in (mine, hers):
        stream.ask("initialize", HELLO, id=0)
    for _ in range(3):
        for stream, known in ((hers, True), (mine, False)):
            found = stream.ask("tools/call", arguments)["result"]["structuredContent"]["memories"]
            assert any("bees" in memory["content"] for memory in found) is known
    mine.close()
    hers.close()


def test_a_session_of_another_client_or_user_is_unknown(home: Home) -> None:
    claude, cursor, hers = (
        urls(home, "claude")["http"],
        urls(home, "cursor")["http"],
        urls(home, "claude", "eva")["http"],
    )
    session = Session(claude, hello=True)
    assert session.send("tools/list")[0] == 200
    for address in (cursor, hers):
        assert request("POST", address, LIST, session.headers)[0] == 404
    forged = {**session.headers, "Mcp-Session-Id": "0" * 16 + session.headers["Mcp-Session-Id"][16:]}
    assert request("POST", claude, LIST, forged)[0] == 404


def test_an_ended_session_is_unknown_and_others_go_on(home: Home) -> None:
    url = urls(home, "claude")["http"]
    one, two = Session(url, hello=True), Session(url, hello=True)
    assert request("DELETE", url, None, one.headers)[0] == 204
    assert one.send("tools/list")[0] == 404
    assert two.send("tools/list")[0] == 200
    assert request("DELETE", url)[0] == 400


def test_a_disconnected_client_is_shut_out_at_once(home: Home) -> None:
    printed = urls(home, "vscode")
    session, stream = Session(printed["http"], hello=True), Stream(printed["sse"])
    stream.ask("initialize", HELLO, id=0)
    with closing(home.api()) as api:
        api.must("DELETE", "/clients/vscode")
    assert session.send("tools/list")[0] == 404
    assert stream.post(LIST) == 404
    assert request("GET", printed["sse"])[0] == 404
    urls.cache_clear()
    again = urls(home, "vscode")
    assert key_of(again["http"]) != key_of(printed["http"])
    assert request("POST", again["http"], LIST)[0] == 200
    assert session.send("tools/list")[0] == 404
    stream.close()


def test_the_relays_address_is_not_there_on_tcp(home: Home) -> None:
    root = urls(home, "claude")["http"].partition("/mcp/")[0]
    assert request("POST", f"{root}/mcp/claude/stdio", LIST)[0] == 404
    with closing(home.api()) as api:
        answer = api.call("POST", "/mcp/claude/stdio", LIST)
    assert answer.status == 200
    assert len(answer.body["result"]["tools"]) == 4


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Accept": "text/html"}, 406),
        ({"Content-Type": "text/plain"}, 415),
        ({"MCP-Protocol-Version": "1999-01-01"}, 400),
        ({"Mcp-Session-Id": "made-up"}, 404),
    ],
)
def test_headers_are_checked(home: Home, headers: dict[str, str], status: int) -> None:
    assert request("POST", urls(home, "claude")["http"], LIST, headers)[0] == status


def test_methods_and_addresses_that_are_not_there(home: Home) -> None:
    printed = urls(home, "claude")
    for method, url, status in (
        ("GET", printed["http"], 405),
        ("PUT", printed["http"], 405),
        ("POST", printed["sse"], 405),
        ("GET", printed["sse"] + "/messages", 405),
        ("POST", printed["http"] + "/more", 404),
        ("GET", printed["http"].rpartition("/")[0], 404),
    ):
        assert request(method, url, LIST if method in ("POST", "PUT") else None)[0] == status, (method, url)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b'"text"', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"no_such_tool"}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_all_memories"}}', -32602),
    ],
)
def test_bad_messages_get_the_protocols_errors(home: Home, body: bytes, code: int) -> None:
    status, _, answer = request("POST", urls(home, "claude")["http"], body)
    assert json.loads(answer)["error"]["code"] == code
    assert status in (200, 400)


def test_keys_are_not_in_the_log(home: Home) -> None:
    url = urls(home, "claude")["http"]
    request("POST", url, LIST)
    request("POST", with_key(url, "wrong-key-wrong-key"), LIST)
    text = (home.path / "logs" / "daemon.log").read_text()
    assert key_of(url) not in text
    assert "wrong-key" not in text

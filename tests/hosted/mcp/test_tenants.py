"""Whose memory it is: told by the key in the path of each request, whatever else a request says."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.hosted.mcp.conftest import Person, Replica
from tests.hosted.mcp.raw import ACCEPT, HELLO, Stream, call, message
from tests.hosted.world import until

NOTHING = {"code": "no_route", "status": 404}


def asked(address: str, body: object = None) -> httpx.Response:
    """A first request, as each transport makes it."""
    if "/sse/" in address and "/messages" not in address:
        return httpx.get(address)
    return httpx.post(address, json=body or message("initialize", HELLO), headers=ACCEPT)


def is_nothing(answer: httpx.Response) -> bool:
    told = answer.json()
    return {name: told.get(name) for name in NOTHING} == NOTHING and "www-authenticate" not in answer.headers


@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_two_people_see_their_own_at_the_same_moment(
    ann: Person, bob: Person, replicas: tuple[Replica, Replica], transport: str
) -> None:
    at = {p.email: replicas[0].at(p.connect()[transport]) for p in (ann, bob)}
    servers = {email: sse_client(url) if transport == "sse" else url for email, url in at.items()}
    async with Client(servers[ann.email]) as a, Client(servers[bob.email]) as b:  # type: ignore[arg-type]
        mine = (
            await a.call_tool("add_memories", {"text": "The door opens with a password of Ann's aunt"})
        ).structured_content
        his = (await b.call_tool("add_memories", {"text": "Bob's door has no lock"})).structured_content
        id = mine["memories"][0]["id"]
        for tool, arguments in [
            ("search_memory", {"query": "door"}),
            ("list_memories", {}),
        ]:
            seen = (await b.call_tool(tool, arguments)).structured_content["memories"]
            assert [one["id"] for one in seen] == [his["memories"][0]["id"]], tool
        assert id not in str((await b.call_tool("search", {"query": "door"})).structured_content)
        assert (await b.call_tool("fetch", {"id": id})).is_error
        gone = (await b.call_tool("delete_memories", {"memory_ids": [id]})).structured_content
        assert gone == {"deleted": [], "missing": [id]}
        assert (await a.call_tool("fetch", {"id": id})).structured_content["text"].startswith("The door")


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_wrong_key_looks_like_an_address_that_never_was(
    ann: Person, bob: Person, replicas: tuple[Replica, Replica], transport: str
) -> None:
    made, other = ann.connect("claude"), ann.connect("cursor")
    at = replicas[0].at(made[transport])
    key = at.rsplit("/", 1)[1]
    api_key = ann.must("POST", "/keys", {"name": "script"})["key"]
    never = httpx.get(f"{replicas[0].url}/mcp/claude/pigeon/{key}")
    assert is_nothing(never)
    wrong = [
        at[:-1] + ("a" if at[-1] != "a" else "b"),
        at.replace(key, key[:-6] + "000000"),
        at.replace(key, "jmc_" + "A" * 49),
        at.replace(key, "short"),
        at.replace(key, ann.user),
        at.replace(key, api_key),
        at.replace(key, ann.token),
        replicas[0].at(other[transport]).replace("/cursor/", "/claude/"),
    ]
    for address in wrong:
        answer = asked(address)
        assert is_nothing(answer), address
        assert {**answer.json(), "request": ""} == {**never.json(), "request": ""}
        assert key not in answer.text
    with_token = httpx.post(
        wrong[0].replace("/sse/", "/http/"),
        json=message("initialize", HELLO),
        headers={**ACCEPT, "authorization": f"Bearer {ann.token}"},
    )
    assert is_nothing(with_token), "a token counts nothing here"


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_revoked_or_rotated_key_is_worthless_at_once(
    ann: Person, replicas: tuple[Replica, Replica], transport: str
) -> None:
    made = ann.connect()
    at = replicas[0].at(made["http"])
    assert asked(at).status_code == 200
    new = ann.must("POST", f"/connections/{made['id']}/rotate", {"overlap_seconds": 0})
    assert is_nothing(asked(replicas[0].at(made[transport])))
    assert asked(replicas[0].at(new["http"])).status_code == 200
    ann.must("DELETE", f"/connections/{new['id']}")
    assert is_nothing(asked(replicas[0].at(new[transport])))


def test_an_open_stream_does_nothing_for_a_revoked_key(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    made = ann.connect()
    with Stream(replicas[0].at(made["sse"])) as stream:
        assert stream.post(call("add_memories", 1, text="Written while the key was good")).status_code == 202
        assert stream.answer()["result"]["structuredContent"]["memories"]
        ann.must("DELETE", f"/connections/{made['id']}")
        for replica in replicas:
            refused = stream.post(
                call("list_memories", 2), at=replica.url + stream.endpoint.removeprefix(replicas[0].url)
            )
            assert is_nothing(refused)


def test_rights_are_those_of_the_moment(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    made = ann.connect()
    with Stream(replicas[0].at(made["sse"])) as stream:
        stream.post(call("add_memories", 1, text="First"))
        assert not stream.answer()["result"].get("isError")
        ann.must("PATCH", f"/connections/{made['id']}", {"write": False})
        stream.post(call("add_memories", 2, text="Second"))
        answer = stream.answer()["result"]
        assert answer["isError"] is True
        assert "claude may not write memories" in answer["content"][0]["text"]
    assert [one["content"] for one in ann.must("GET", "/memories")["memories"]] == ["First"]


def test_a_message_reaches_no_stream_but_its_own(ann: Person, bob: Person, replicas: tuple[Replica, Replica]) -> None:
    hers, his, hers_too = ann.connect(), bob.connect(), ann.connect("cursor")
    with Stream(replicas[0].at(hers["sse"])) as victim:
        query = urlsplit(victim.endpoint).query
        for other in (his, hers_too):
            for replica in replicas:
                at = f"{replica.at(other['sse'])}/messages?{query}"
                answer = victim.post(call("add_memories", 7, text="Put into another's stream"), at=at)
                assert answer.status_code == 404
                assert "session not found" in answer.text.lower()
        unknown = victim.post(message("ping"), at=victim.endpoint.split("?")[0] + "?session_id=" + "0" * 32)
        assert unknown.status_code == 404
        assert victim.post(message("ping", id=8)).status_code == 202
        assert victim.answer()["id"] == 8, "and nothing came before it"
    assert bob.must("GET", "/memories")["memories"] == []
    assert ann.must("GET", "/memories")["memories"] == []


def test_a_deleted_account_has_no_address(ann: Person, bob: Person, replicas: tuple[Replica, Replica]) -> None:
    made, stays = ann.connect(), bob.connect()
    deleted = ann.must("DELETE", "/account", {"confirm": ann.email})
    assert deleted["deleted"] is True
    for transport in ("sse", "http"):
        for replica in replicas:
            assert asked(replica.at(made[transport])).status_code in (404, 410)
    assert asked(replicas[0].at(stays["http"])).status_code == 200


def test_no_key_is_logged(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    made = ann.connect()
    key = made["http"].rsplit("/", 1)[1]
    for replica in replicas:
        before = len(replica.log.read_text())
        assert asked(replica.at(made["http"])).status_code == 200
        assert asked(replica.at(made["http"]), call("no_such_tool")).status_code == 200
        assert asked(replica.at(made["http"])[:-1]).status_code == 404
        with Stream(replica.at(made["sse"])) as stream:
            assert asked(stream.endpoint, {"jsonrpc": "2.0", "id": 1}).status_code == 400
        written = until(lambda: replica.log.read_text()[before:], "the requests are not in the log")  # noqa: B023
        assert "/mcp/{client}/{transport}/" in written
        assert key[:12] not in replica.log.read_text()

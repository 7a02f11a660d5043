"""The pages over two replicas: the tests of the pages once more, and what one replica does seen at the other at once."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hosted.dev.qdrant import Store, make_app
from tests.hosted.balancer import Balancer
from tests.hosted.identity.conftest import Running, Server
from tests.hosted.identity.test_devices import pkce
from tests.hosted.web import conftest
from tests.hosted.web.conftest import PASSWORD, Visitor, made, shown
from tests.hosted.world import World, served, until

AGAIN = {
    "test_conflicts": "", "test_consent": "", "test_entry": "", "test_journey": "", "test_pages": "program",
    "test_memories": "add_search|edit_in_place|take_it_back|several_at_once|without_a_script|download",
}  # fmt: skip
"""Modules of tests, and which of a module's in words of their names; how a page looks does not depend on who sends it."""
INSIDE = frozenset(("monkeypatch", "database_url"))

for _name, _value in vars(conftest).items():
    if type(_value).__name__ == "FixtureFunctionDefinition" and _name != "world":
        globals()[_name] = _value
for _module, _some in AGAIN.items():
    for _name, _value in vars(importlib.import_module(f"tests.hosted.web.{_module}")).items():
        if type(_value).__name__ == "FixtureFunctionDefinition":
            globals()[_name] = _value
        # what changes the inside of an app changes one
        elif re.match(f"test_.*({_some})", _name) and not INSIDE & inspect.signature(_value).parameters.keys():
            globals()[f"{_name}__{_module}"] = _value

Make = Callable[..., Visitor]


@dataclass
class Replicas(World):
    """Two backends behind a balancer: `url` is the balancer's, the parts inside are the first one's."""

    both: tuple[World, ...] = ()

    def settle(self) -> None:
        for one in self.both:
            one.settle()


@pytest.fixture(scope="module")
def world(database_url: str, owner_url: str, supabase: Running) -> Iterator[Replicas]:
    """Two apps on ports of their own, with pools, buses and logs of their own; one Postgres and one vector index."""
    qdrant, balancer = Server(), Balancer()
    qdrant.serve(make_app(Store()))
    settings: dict[str, Any] = {
        "public_url": balancer.url, "support_contact": "help@example.com", "vectors": False, "qdrant_host": qdrant.url,
        "qdrant_port": int(qdrant.url.rpartition(":")[2]),
    }  # fmt: skip
    with (
        qdrant,
        served(database_url, owner_url, supabase, **settings) as one,
        served(database_url, owner_url, supabase, **settings) as two,
        httpx.Client(base_url=balancer.url, timeout=30) as http,
        balancer,
    ):
        balancer.replicas = [one.url, two.url]
        supabase.settings.site_url, supabase.settings.consent_path = balancer.url, "/oauth/consent"
        parts = {each.name: getattr(one, each.name) for each in fields(World)}
        yield Replicas(**{**parts, "url": balancer.url, "http": http}, both=(one, two))
    assert len({url for _, url in balancer.asked}) == 2


def everywhere(world: Replicas, path: str, me: Visitor | None = None, **headers: str) -> list[httpx.Response]:
    """What each replica answers, itself asked."""
    cookies = dict(me.http.cookies) if me else {}
    asked = {"accept": "text/html", **headers}
    return [httpx.get(one.url + path, cookies=cookies, headers=asked, timeout=20) for one in world.both]


def statuses(world: Replicas, path: str, me: Visitor | None = None, **headers: str) -> list[int]:
    """With which status each replica answers."""
    return [answer.status_code for answer in everywhere(world, path, me, **headers)]


def call(address: str, tool: str, **arguments: str) -> httpx.Response:
    """One call as an assistant sends it."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return httpx.post(address, json=asked, headers={"accept": "application/json, text/event-stream"}, timeout=20)


def test_the_tests_of_the_pages_are_among_these() -> None:
    assert sum(name.startswith("test_") for name in globals()) > 50


def test_a_key_counts_at_every_replica_at_once_and_no_more_once_it_is_revoked(world: Replicas, visitors: Make) -> None:
    me = visitors(signed_in=True)
    me.get("/keys/new")
    asked = {"name": "backup", "permissions": "1", "read": "on", "write": "on", "days": ""}
    key = made(me.post("/keys/new", **asked), r"jmk_\w+")
    bearer = {"authorization": f"Bearer {key}"}
    assert statuses(world, "/api/v1/memories", **bearer) == [200, 200]
    address = made(me.get("/connections"), r"/keys/[0-9a-f-]{36}")
    me.get(address)
    assert me.post(address, name="backup", permissions="1", write="on").status_code == 303
    assert statuses(world, "/api/v1/memories", **bearer) == [403, 403]
    assert me.post(f"{address}/revoke").headers["location"] == "/connections"
    assert statuses(world, "/api/v1/memories", **bearer) == [401, 401]


def test_the_light_goes_on_wherever_the_first_call_arrives(world: Replicas, visitors: Make) -> None:
    one, two = world.both
    for asked, looked in ((one, two), (two, one)):
        me = visitors(signed_in=True)
        me.post("/memories/new", content="Ada keeps bees")
        me.get("/connections/new")
        shown_once = me.post("/connections/new", program="cursor", home="welcome")
        address = made(shown_once, r"/mcp/cursor/http/jmc_\w+")
        check = made(shown_once, r"/connections/[0-9a-f-]{36}/check")
        live = {"hx-request": "true"}
        assert all("Waiting for its first call" in shown(page) for page in everywhere(world, check, me, **live))
        assert call(asked.url + address, "search_memory", query="who keeps bees").status_code == 200
        light = me.http.get(looked.url + check, headers=live)
        assert "It works." in shown(light)
        assert all("All set" in shown(page) for page in [me.get("/welcome"), me.get("/welcome")])
        # what was asked is written behind the answer
        until(lambda: "who keeps bees" in shown(me.http.get(looked.url + "/activity")), "the other replica never tells")  # noqa: B023
        assert me.post(check.removesuffix("check") + "revoke").status_code == 303
        assert [call(each.url + address, "list_memories").status_code for each in world.both] == [404, 404]


def test_nobody_is_left_anywhere_once_everybody_is_signed_out(world: Replicas, visitors: Make) -> None:
    me, elsewhere = visitors(signed_in=True), visitors()
    elsewhere.get("/sign-in")
    elsewhere.post("/sign-in", email=me.email, password=PASSWORD)
    assert statuses(world, "/devices", elsewhere) == [200, 200]
    assert [shown(page).count("Signed in just now") for page in everywhere(world, "/devices", me)] == [2, 2]
    me.get("/devices")
    me.post("/sign-out", scope="global")
    for gone in (me, elsewhere):
        assert statuses(world, "/memories", gone) == [303, 303]


def test_a_session_is_renewed_once_for_all_replicas(world: Replicas, supabase: Running, visitors: Make) -> None:
    with supabase.with_settings(token_lifetime=30):  # shorter than what is renewed early
        me = visitors()
        me.get("/sign-up")
        me.post("/sign-up", email=me.email, password=PASSWORD)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: everywhere(world, "/memories", me)[n % 2].status_code, range(8)))
    assert answers == [200] * 8
    sql = "SELECT s.counter FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email = ?"
    assert [row["counter"] for row in supabase.double._context.store.all(sql, me.email)] == [1]


def test_a_machine_that_is_shut_out_at_one_replica_is_shut_out_at_all(
    world: Replicas, supabase: Running, visitors: Make
) -> None:
    me = visitors(signed_in=True)
    verifier, challenge = pkce()
    asked = {"challenge": challenge, "state": "s" * 32, "port": "40000", "name": "laptop"}
    me.get("/devices/new", params=asked)
    onward = unescape(made(me.post("/devices/new", **asked, decision="allow"), r"http://127\.0\.0\.1:40000/[^\"]+"))
    (code,) = parse_qs(urlsplit(onward).query)["code"]
    told = (
        world.http.post("/api/v1/devices/redeem", json={"code": code, "verifier": verifier}).raise_for_status().json()
    )
    session = httpx.post(
        f"{supabase.url}/auth/v1/verify", json={"token_hash": told["token_hash"], "type": "email"},
        headers={"apikey": supabase.settings.publishable_key},
    ).raise_for_status().json()  # fmt: skip
    machine = {
        "authorization": f"Bearer {session['access_token']}",
        "x-jmem-device": "d1",
        "x-jmem-device-name": "laptop",
    }
    assert statuses(world, "/api/v1/sync/pull?device=d1", **machine) == [200, 200]
    # when it was seen is written behind the answer
    until(
        lambda: all("laptop" in shown(page) for page in everywhere(world, "/devices", me)), "the machine is not listed"
    )
    me.get("/devices")
    assert me.post("/devices/revoke", device="d1").headers["location"] == "/devices"
    refused = everywhere(world, "/api/v1/sync/pull?device=d1", **machine)
    assert [answer.json()["code"] for answer in refused] == ["device_revoked"] * 2


def test_an_account_is_gone_everywhere_at_once(world: Replicas, visitors: Make) -> None:
    me = visitors(signed_in=True)
    for number in range(4):
        me.post("/memories/new", content=f"Number {number}")
    me.get("/connections/new")
    address = made(me.post("/connections/new", program="claude"), r"/mcp/claude/http/jmc_\w+")
    page = me.get("/settings/delete")
    assert "4 memories" in shown(page)
    assert me.post("/settings/delete", confirm=me.email).headers["location"] == "/goodbye"
    assert statuses(world, "/memories", me) == [303, 303]
    assert {call(each.url + address, "list_memories").status_code for each in world.both} <= {401, 410}

"""Machines of an account: the code a browser takes to one, the list, shutting one out; with the official client's own link."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import secrets
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from supabase import AuthApiError

from hosted.identity import device_codes, devices
from hosted.identity.principal import Principal
from jmem.core.actor import Actor
from jmem.core.errors import RateLimited
from tests.hosted.identity.conftest import Running
from tests.hosted.identity.test_double_python import opened
from tests.hosted.world import Person, World, served, until


@pytest.fixture(scope="module")
def world(database_url: str, owner_url: str, supabase: Running) -> Iterator[World]:
    with served(database_url, owner_url, supabase, vectors=False) as found:
        yield found


def pkce() -> tuple[str, str]:
    """A verifier and its challenge."""
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def code_for(world: World, person: Person, challenge: str) -> str:
    async def make() -> str:
        async with world.app.state.backend.database.tenant(person.user) as conn:
            return await device_codes.make(conn, person.user, challenge, "laptop")

    return world.run(make())


def redeem(world: World, code: str, verifier: str) -> httpx.Response:
    return world.http.post("/api/v1/devices/redeem", json={"code": code, "verifier": verifier})


def visit(person: Person, device: str, name: str = "laptop") -> httpx.Response:
    headers = {"x-jmem-device": device, "x-jmem-device-name": name, "x-jmem-platform": "Linux x86_64"}
    return person.ask("GET", "/api/v1/sync/pull", headers=headers, params={"device": device})


def listed(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.must("GET", "/devices")["devices"]
    return found


def test_the_official_client_makes_a_link_that_is_worth_one_session(supabase: Running, world: World) -> None:
    me = world.person()
    with opened(supabase, supabase.settings.secret_key) as admin:
        made = admin.auth.admin.generate_link({"type": "magiclink", "email": me.email})
    assert made.user.id == str(me.user)
    assert supabase.double.mails(me.email) == [], "nothing is mailed"
    with opened(supabase) as client:
        session = client.auth.verify_otp({"token_hash": made.properties.hashed_token, "type": "email"})
        assert session.user is not None
        assert session.user.id == str(me.user)
        with pytest.raises(AuthApiError, match="invalid or has expired"):
            client.auth.verify_otp({"token_hash": made.properties.hashed_token, "type": "email"})
    refused = httpx.post(f"{supabase.url}/auth/v1/admin/generate_link", json={"type": "magiclink", "email": me.email},
                         headers={"apikey": supabase.settings.publishable_key, "authorization": f"Bearer {me.token}"})  # fmt: skip
    assert refused.status_code == 403


def test_a_code_is_worth_a_session_of_its_own_once(world: World, supabase: Running) -> None:
    me = world.person()
    verifier, challenge = pkce()
    code = code_for(world, me, challenge)
    told = redeem(world, code, verifier)
    assert (told.status_code, told.json()["email"], told.headers["cache-control"]) == (200, me.email, "no-store")
    with opened(supabase) as client:
        session = client.auth.verify_otp({"token_hash": told.json()["token_hash"], "type": "email"}).session
        assert session is not None
        assert session.access_token != me.token
        client.auth.sign_out({"scope": "local"})
    assert me.ask("GET", "/api/v1/account").status_code == 200, "the browser's session is another one"
    again = redeem(world, code, verifier)
    assert (again.status_code, again.json()["code"]) == (401, "bad_code")


def test_a_code_is_nothing_to_who_did_not_begin_and_is_used_up_by_trying(world: World) -> None:
    me, somebody = world.person(), world.person()
    verifier, challenge = pkce()
    code = code_for(world, me, challenge)
    assert redeem(world, code, pkce()[0]).status_code == 401
    assert redeem(world, code, verifier).status_code == 401, "tried once"
    code = code_for(world, me, challenge)
    stolen = base64.urlsafe_b64encode(somebody.user.bytes + base64.urlsafe_b64decode(code)[16:]).decode()
    assert redeem(world, stolen, verifier).status_code == 401, "it is of no other account"
    late = code_for(world, me, challenge)
    world.query("UPDATE jmem.device_codes SET expires_at = now() - interval '1 second' WHERE user_id = $1", me.user)
    assert redeem(world, late, verifier).status_code == 401
    for bad in ("", "x" * 64, "ü" * 64, "x" * 10_000):
        assert redeem(world, bad, verifier).status_code in (401, 413, 422)
    codes = [code_for(world, me, challenge) for _ in range(device_codes.MAX_WAITING)]
    with pytest.raises(RateLimited, match="several computers"):
        code_for(world, me, challenge)
    assert redeem(world, codes[0], verifier).status_code == 200


def test_machines_are_listed_with_what_they_have_and_go_when_they_are_shut_out(world: World) -> None:
    me, somebody = world.person(), world.person()
    assert visit(me, "laptop-1").status_code == 200
    found = listed(me)
    assert [(d["id"], d["name"], d["platform"], d["via"], d["behind"]) for d in found] == [
        ("laptop-1", "laptop", "Linux x86_64", "session", 0)
    ]
    me.add("news")
    assert listed(me)[0]["behind"] == 1
    assert visit(me, "laptop-1").status_code == 200
    assert listed(me)[0]["behind"] == 0, "what it has read is told at once"
    assert listed(somebody) == []
    assert somebody.ask("DELETE", "/api/v1/devices/laptop-1").status_code == 404
    archive = zipfile.ZipFile(io.BytesIO(me.ask("GET", "/api/v1/account/export").content))
    assert b"laptop-1" in archive.read("devices.json")

    # a machine has a session of its own; here it is the person's, which ends with it
    assert me.ask("DELETE", "/api/v1/devices/laptop-1").json()["id"] == "laptop-1"
    refused = visit(me, "laptop-1")
    assert (refused.status_code, refused.json()["code"]) == (401, "device_revoked")
    kept = world.query("SELECT at = 'infinity' AS for_ever FROM jmem.sign_outs WHERE user_id = $1", me.user)
    assert [row["for_ever"] for row in kept] == [True]


def test_a_key_that_a_machine_used_ends_with_it_and_shuts_nobody_out(world: World) -> None:
    me = world.person()
    key = me.must("POST", "/keys", {"name": "server"})["key"]
    server = Person(world.http, me.email, me.user, key, "")
    assert visit(server, "server-1").status_code == 200
    until(lambda: listed(me), "the machine is listed")
    refused = server.ask("DELETE", "/api/v1/devices/server-1")
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    me.must("DELETE", "/devices/server-1")
    assert visit(server, "server-1").json()["code"] == "key_revoked"
    assert listed(me) == []
    server.token = me.must("POST", "/keys", {"name": "again"})["key"]
    assert visit(server, "server-1").status_code == 200
    until(lambda: [d["id"] for d in listed(me)] == ["server-1"], "it came back by signing in anew")


def test_a_busy_machine_is_written_down_once_a_minute(world: World) -> None:
    me = world.person()
    for _ in range(20):
        visit(me, "busy")
    world.settle()
    before = world.query("SELECT xmin::text AS v FROM jmem.devices WHERE user_id = $1", me.user)
    assert before
    for _ in range(20):
        visit(me, "busy")
    time.sleep(devices.FIRST_S + 0.5)  # in which the first visit of all was written down
    assert world.query("SELECT xmin::text AS v FROM jmem.devices WHERE user_id = $1", me.user) == before
    for bad in ("", "-x", "x" * 65, "../etc", "a b"):
        me.ask("GET", "/api/v1/sync/hello", headers={"x-jmem-device": bad})
    world.settle()
    assert [d["id"] for d in listed(me)] == ["busy"]


def test_two_machines_that_call_themselves_the_same_have_two_names(world: World) -> None:
    me = world.person()

    def known() -> dict[str, str]:
        world.settle()
        return {device["id"]: device["name"] for device in listed(me)}

    for device in ("a", "b", "c"):
        visit(me, device)
    assert sorted(known().values()) == ["laptop", "laptop 2", "laptop 3"]
    first = known()
    for device in ("c", "b", "a"):
        visit(me, device)
    visit(me, "d", "laptop 2")
    visit(me, "nameless", "")
    assert known() == {**first, "d": "laptop 2 2", "nameless": ""}, "each keeps its own"
    visit(me, "a", "desk")
    assert known()["a"] == "desk"
    free = ({"laptop", "laptop 2", "laptop 3"} - set(known().values())) or {"laptop 4"}
    visit(me, "e")
    assert known()["e"] == min(free)
    other = world.person()
    visit(other, "f")
    world.settle()
    assert [device["name"] for device in listed(other)] == ["laptop"], "names are of one account"


def test_who_leaves_before_the_list_came_ends_no_visit_of_anybody(world: World) -> None:
    me, somebody = world.person(), world.person()
    database = world.app.state.backend.database

    async def run() -> list[int]:
        register = devices.Register(database)
        asked = Request({"type": "http", "headers": [(b"x-jmem-device", b"laptop-1")]})
        for person in (me, somebody):
            register.seen(asked, Principal(person.user, Actor("web"), "session"))
        leaves = [asyncio.create_task(register.flush(person.user)) for person in (me, somebody)]
        await asyncio.sleep(0)
        leaves[0].cancel()
        await leaves[1]
        await register.flush()
        found = []
        for person in (me, somebody):
            async with database.tenant(person.user) as conn:
                found.append(len(await devices.listed(conn, person.user)))
        return found

    assert world.run(run()) == [1, 1]

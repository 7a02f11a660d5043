"""Tokens that are none, over the served backend: by HTTP, as a personal and an OAuth MCP address, in the page's cookie."""

from __future__ import annotations

import json
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest

from hosted.identity.jwt import LEEWAY
from hosted.web import browser
from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.isolation.test_pages import Visitor
from tests.hosted.world import Person, World, served

COOKIES = (f"jmem-{browser.SESSION}", f"__Host-jmem-{browser.SESSION}", "sb-access-token")
Forge = Callable[[Running, dict[str, Any]], str]
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def world(databases: Databases, database_name: str, supabase: Running) -> Iterator[World]:
    url, behind = databases.cluster.url(database_name, APP), databases.cluster.url(database_name)
    with served(url, behind, supabase, vectors=False) as made:
        yield made


def _unsigned(supabase: Running, claims: dict[str, Any]) -> str:
    def part(one: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def _by_public_key(supabase: Running, claims: dict[str, Any]) -> str:
    """HMAC over the project's public key, as its key set tells it."""
    (known, *_) = httpx.get(f"{supabase.url}/auth/v1/.well-known/jwks.json").json()["keys"]
    key = jwt.PyJWK(known).key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": known["kid"]}).encode()).rstrip(b"=")
    body = urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(head + b"." + body, pem)
    return b".".join([head, body, urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def _altered(supabase: Running, claims: dict[str, Any]) -> str:
    """Somebody's good token, with another account in it."""
    head, _, signature = supabase.double.sign(claims | {"sub": str(uuid.uuid4())}).split(".")
    body = urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def _signed(**changes: Any) -> Forge:
    return lambda supabase, claims: supabase.double.sign(
        claims | {n: v() if callable(v) else v for n, v in changes.items()}
    )


def _from_now(seconds: float) -> Callable[[], int]:
    return lambda: int(time.time() + seconds)


FORGED: dict[str, Forge] = {
    "expired": _signed(exp=_from_now(-LEEWAY - 5)),
    "of another issuer": _signed(iss="https://elsewhere.supabase.co/auth/v1"),
    "for another audience": _signed(aud="anon"),
    "issued in the future": _signed(iat=_from_now(LEEWAY + 60)),
    "not valid yet": _signed(nbf=_from_now(LEEWAY + 60)),
    "of the project itself": _signed(role="service_role"),
    "of nobody": _signed(is_anonymous=True),
    "unsigned": _unsigned,
    "HS256 by the public key": _by_public_key,
    "altered": _altered,
}
GOOD: dict[str, Forge] = {
    "as it is": _signed(),
    "of a clock that is a little slow": _signed(exp=_from_now(-LEEWAY / 2)),
    "of a clock that is a little ahead": _signed(iat=_from_now(LEEWAY / 2)),
}


def ways(world: World, token: str) -> dict[str, httpx.Response]:
    """The same token wherever one may be given."""
    bearer = {"authorization": f"Bearer {token}"}
    accept = {"accept": "application/json, text/event-stream"}
    return {
        "http": world.http.get("/api/v1/memories", headers=bearer),
        "sync": world.http.get("/api/v1/sync/pull", headers=bearer),
        "mcp": world.http.post("/mcp", json=INITIALIZE, headers=bearer | accept),
        "mcp url": world.http.post(f"/mcp/claude/http/{token}", json=INITIALIZE, headers=accept),
        "page": world.http.get("/memories", headers={"cookie": "; ".join(f"{name}={token}" for name in COOKIES)}),
    }


@pytest.fixture(scope="module")
def somebody(world: World) -> tuple[Person, dict[str, Any]]:
    person = world.person()
    person.add("a secret of somebody's")
    return person, jwt.decode(person.token, options={"verify_signature": False})


@pytest.mark.parametrize("how", FORGED)
def test_no_forged_token_is_taken_anywhere(world: World, somebody: tuple[Person, dict[str, Any]], how: str) -> None:
    _, claims = somebody
    for way, answer in ways(world, FORGED[how](world.supabase, claims)).items():
        assert "a secret" not in answer.text, way
        if way == "page":
            assert answer.status_code in (302, 303, 307, 401, 403, 404), (way, answer.status_code)
        else:
            assert answer.status_code in (401, 403, 404), (way, answer.status_code, answer.text)
        if way in ("http", "sync"):
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("how", GOOD)
def test_a_good_token_is(world: World, somebody: tuple[Person, dict[str, Any]], how: str) -> None:
    """Or nothing would be shown by the others."""
    told = ways(world, GOOD[how](world.supabase, somebody[1]))
    assert (told["http"].status_code, told["sync"].status_code) == (200, 200)
    assert told["mcp"].status_code in (401, 403)  # a session is no program that was let in


def test_every_way_lets_in_what_is_meant_for_it(world: World) -> None:
    """Or nothing would be shown by a cookie and an address that are refused."""
    me = world.person()
    me.add("a secret of mine")
    address = me.must("POST", "/connections", {"client": "claude"})["http"]
    key = httpx.URL(address).path.rpartition("/")[2]
    assert ways(world, key)["mcp url"].status_code == 200
    browsing = Visitor(world, me)
    (name,) = set(browsing.http.cookies) & set(COOKIES)
    cookie = browsing.http.cookies[name]
    browsing.http.close()
    page = ways(world, cookie)["page"]
    assert page.status_code == 200
    assert "a secret of mine" in page.text


def test_a_session_that_was_ended_is_refused_at_once(world: World) -> None:
    me = world.person()
    me.add("a secret of mine")
    token = me.token
    assert ways(world, token)["http"].status_code == 200
    me.must("POST", "/account/sign-out", {"scope": "global"})
    for way, answer in ways(world, token).items():
        assert answer.status_code != 200, way
        assert "a secret" not in answer.text

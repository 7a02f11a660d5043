"""Who a request comes from: a small application behind the dependencies, real tokens, real rows."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import jwt
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from hosted.db.engine import Database
from hosted.identity import grants, keys, secret
from hosted.identity.jwks import KeySet
from hosted.identity.jwt import Verifier
from hosted.identity.lookup import Lookup, Rights
from hosted.identity.principal import Identity, Permission, Principal
from hosted.identity.principal import current as anybody
from hosted.identity.principal import owner as owners
from hosted.identity.principal import person as people
from hosted.identity.supabase import Session, Supabase
from jmem.core.actor import VERBS
from jmem.core.errors import JmemError
from tests.hosted.identity.conftest import Running

METADATA = "https://jmem.example/.well-known/oauth-protected-resource"

Asker = Annotated[Principal, Depends(anybody)]


def shown(principal: Principal) -> dict[str, Any]:
    return {"user": str(principal.user_id), "via": principal.via, "client": principal.actor.client,
            "tags": principal.actor.tags, "owner": principal.actor.owner}  # fmt: skip


def application(identity: Identity) -> FastAPI:
    app = FastAPI()
    app.state.identity = identity

    @app.exception_handler(JmemError)
    async def problem(request: Request, error: JmemError) -> JSONResponse:
        headers = getattr(error, "headers", None)
        return JSONResponse(error.problem(), error.status, headers(METADATA) if headers else None)

    @app.get("/current")
    async def current(principal: Asker) -> dict[str, Any]:
        return shown(principal)

    @app.get("/current/{permission}")
    async def permitted(principal: Asker, permission: Permission) -> dict[str, Any]:
        principal.may(permission)
        return shown(principal)

    @app.get("/owner")
    async def owner(principal: Annotated[Principal, Depends(owners)]) -> dict[str, Any]:
        return shown(principal)

    @app.get("/person")
    async def person(principal: Annotated[Principal, Depends(people)], user_id: str = "") -> dict[str, Any]:
        return shown(principal)

    @app.get("/mcp/{client}/http/{key}")
    async def connector(client: str, key: str) -> dict[str, Any]:
        return shown(await identity.of_connector(client, key))

    return app


@dataclass
class World:
    """The application, its database and the project beside it."""

    http: httpx.AsyncClient
    database: Database
    auth: Supabase
    running: Running
    outcomes: list[str]

    async def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        sent = {"authorization": f"Bearer {token}"} if token is not None else {}
        return await self.http.get(path, headers={**sent, **headers})

    async def person(self) -> Session:
        made = await self.auth.sign_up(f"{uuid.uuid4().hex}@example.com", "correct horse", redirect_to="")
        assert made
        return made

    async def key(self, user: uuid.UUID, rights: Rights, kind: secret.Kind = "api") -> keys.Made:
        async with self.database.tenant(user) as conn:
            return await keys.create(conn, user, kind, rights)


@pytest.fixture
async def world(supabase: Running, database: Database) -> AsyncIterator[World]:
    outcomes: list[str] = []
    issuer = supabase.settings.issuer
    async with httpx.AsyncClient() as outside:
        verifier = Verifier(issuer, KeySet(f"{issuer}/.well-known/jwks.json", outside))
        lookup = Lookup(database.engine)
        app = application(Identity(verifier, lookup, resource_metadata=METADATA, observe=outcomes.append))
        auth = Supabase(supabase.url, supabase.settings.publishable_key, supabase.settings.secret_key, outside)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://jmem") as http:
            yield World(http, database, auth, supabase, outcomes)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_session_is_its_persons_own_hand(world: World) -> None:
    session = await world.person()
    wanted = {"user": str(session.user_id), "via": "session", "client": "web", "tags": None, "owner": True}
    for path in ("/current", "/current/everything", "/owner", "/person"):
        answer = await world.get(path, session.access_token)
        assert (answer.status_code, answer.json()) == (200, wanted)
    assert world.outcomes == ["session"] * 4


async def test_the_tenant_comes_from_the_token_alone(world: World) -> None:
    session, other = await world.person(), uuid.uuid4()
    answer = await world.get(
        f"/person?user_id={other}", session.access_token, **{"x-user-id": str(other), "x-jmem-user": "bob"}
    )
    assert answer.json()["user"] == str(session.user_id)


async def test_a_request_without_a_token_is_challenged(world: World) -> None:
    answer = await world.get("/current")
    assert problem(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == f'Bearer realm="jmem", resource_metadata="{METADATA}"'


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token x", "bearer \x7f", "Bearer a b c"]
)
async def test_a_header_that_proves_nothing_is_refused(world: World, header: str) -> None:
    answer = await world.http.get("/current", headers={"authorization": header})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_two_tokens_are_refused(world: World) -> None:
    mine, other = await world.person(), await world.person()
    sent = [("authorization", f"Bearer {session.access_token}") for session in (mine, other)]
    assert problem(await world.http.get("/current", headers=sent)) == (401, "bad_token")


async def test_a_token_in_the_query_or_a_cookie_is_none(world: World) -> None:
    session = await world.person()
    for path in ("access_token", "token", "apikey"):
        answer = await world.http.get(
            f"/current?{path}={session.access_token}", headers={"cookie": f"{path}={session.access_token}"}
        )
        assert problem(answer) == (401, "unauthorized")


async def test_a_forged_token_is_refused_with_a_challenge_that_can_not_be_split(world: World) -> None:
    session = await world.person()
    answer = await world.get("/current", session.access_token[:-4] + "AAAA")
    assert problem(answer) == (401, "bad_token")
    assert answer.headers["www-authenticate"].startswith(
        'Bearer realm="jmem", error="invalid_token", error_description="'
    )
    assert answer.headers["www-authenticate"].count('"') == 8


async def test_the_projects_own_keys_are_nobody(world: World) -> None:
    claims = {"iss": world.running.settings.issuer, "sub": str(uuid.uuid4()), "aud": "authenticated", "iat": 1,
              "exp": 2**33, "session_id": "s", "role": "service_role"}  # fmt: skip
    assert problem(await world.get("/current", world.running.double.sign(claims))) == (401, "bad_token")
    for key in (world.running.settings.secret_key, world.running.settings.publishable_key):
        assert problem(await world.get("/current", key)) == (401, "bad_token")


async def test_an_expired_token_says_so(world: World) -> None:
    session = await world.person()
    with world.running.later(-4000):
        old = await world.auth.refresh(session.refresh_token)
    assert problem(await world.get("/current", old.access_token)) == (401, "token_expired")


async def test_a_signed_out_session_is_refused_though_its_token_lasts(world: World) -> None:
    session, other = await world.person(), await world.person()
    async with world.database.tenant(session.user_id) as conn:
        await grants.sign_out(conn, session.user_id)
    assert problem(await world.get("/current", session.access_token)) == (401, "signed_out")
    assert (await world.get("/current", other.access_token)).status_code == 200


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        (Rights("claude"), {"read", "write", "delete", "everything"}),
        (Rights("claude", write=False, delete=False), {"read"}),
        (Rights("claude", read=False), {"write", "delete"}),
        (Rights("claude", tags=("work",)), {"read", "write", "delete"}),
        (Rights("claude", tags=()), {"read", "write", "delete"}),
    ],
)
async def test_a_key_may_what_it_was_given(world: World, rights: Rights, allowed: set[str]) -> None:
    user = uuid.uuid4()
    made = await world.key(user, rights)
    answer = await world.get("/current", made.text)
    assert answer.json() == {
        "user": str(user), "via": "api_key", "client": "claude", "owner": "everything" in allowed,
        "tags": None if rights.tags is None else list(rights.tags),
    }  # fmt: skip
    for permission in ("read", "write", "delete", "everything"):
        got = await world.get(f"/current/{permission}", made.text)
        if permission in allowed:
            assert got.status_code == 200
        else:
            assert problem(got) == (403, "missing_scope")
            assert f'error="insufficient_scope", scope="{permission}"' in got.headers["www-authenticate"]
            assert got.json()["title"] == f"claude may not {VERBS[permission]}"
    assert ((await world.get("/owner", made.text)).status_code == 200) == ("everything" in allowed)
    assert problem(await world.get("/person", made.text)) == (403, "missing_scope")


async def test_a_revoked_or_unknown_or_mistyped_key_is_refused(world: World) -> None:
    user = uuid.uuid4()
    made = await world.key(user, Rights("claude"))
    async with world.database.tenant(user) as conn:
        await keys.revoke(conn, user, made.key.id)
    assert problem(await world.get("/current", made.text)) == (401, "key_revoked")
    assert problem(await world.get("/current", secret.make("api"))) == (401, "bad_token")
    assert problem(await world.get("/current", made.text[:-1] + "_")) == (401, "bad_token")
    assert problem(await world.get("/current", "jmk_" + "A" * 100_000)) == (401, "bad_token")


async def test_a_personal_url_belongs_to_one_client(world: World) -> None:
    user = uuid.uuid4()
    made = await world.key(user, Rights("claude", tags=("work",)), "connector")
    answer = await world.get(f"/mcp/claude/http/{made.text}")
    assert answer.json() == {
        "user": str(user),
        "via": "connector",
        "client": "claude",
        "tags": ["work"],
        "owner": False,
    }
    api = await world.key(user, Rights("claude"))
    for path in (f"/mcp/cursor/http/{made.text}", f"/mcp/claude/http/{user}", f"/mcp/claude/http/{made.text[:-1]}",
                 f"/mcp/claude/http/{api.text}", f"/mcp/claude/http/{secret.make('connector')}"):  # fmt: skip
        assert problem(await world.get(path)) == (401, "bad_token")
    assert problem(await world.get("/current", made.text)) == (401, "bad_token")


async def test_an_unrestricted_assistant_is_not_the_owner(world: World) -> None:
    made = await world.key(uuid.uuid4(), Rights("claude"), "connector")
    assert (await world.get(f"/mcp/claude/http/{made.text}")).json()["owner"] is False


def programs_token(world: World, session: Session, client_id: str) -> str:
    claims = jwt.decode(session.access_token, options={"verify_signature": False})
    return world.running.double.sign({**claims, "client_id": client_id})


async def test_a_program_counts_only_once_it_was_let_in(world: World) -> None:
    session = await world.person()
    token = programs_token(world, session, "p-1")
    assert problem(await world.get("/current", token)) == (401, "program_not_allowed")
    async with world.database.tenant(session.user_id) as conn:
        await grants.allow(conn, session.user_id, "p-1", "ChatGPT", Rights("chatgpt", delete=False))
    answer = await world.get("/current", token)
    assert answer.json() == {
        "user": str(session.user_id),
        "via": "oauth",
        "client": "chatgpt",
        "tags": None,
        "owner": False,
    }
    assert problem(await world.get("/current/delete", token)) == (403, "missing_scope")
    for path in ("/owner", "/person"):
        assert problem(await world.get(path, token)) == (403, "missing_scope")
    other = await world.person()
    assert problem(await world.get("/current", programs_token(world, other, "p-1"))) == (401, "program_not_allowed")
    assert problem(await world.get("/current", programs_token(world, session, "p-2"))) == (401, "program_not_allowed")
    async with world.database.tenant(session.user_id) as conn:
        await grants.revoke(conn, session.user_id, "p-1")
    assert problem(await world.get("/current", token)) == (401, "program_not_allowed")

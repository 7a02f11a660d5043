"""Keys, connections and the account over HTTP, each used for what it is for."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from fastapi import Depends, FastAPI

from hosted.app import make_app
from hosted.db.engine import Database
from hosted.identity import compose, grants
from hosted.identity.lookup import Rights
from hosted.identity.principal import Principal, current
from hosted.identity.supabase import Session
from hosted.memories.activity import Activity
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from hosted.settings import Settings
from jmem.core.errors import Invalid
from tests.hosted.identity.conftest import Running
from tests.hosted.identity.test_accounts import Points

PUBLIC = "https://jmem.example"


@dataclass
class Api:
    """The application as one person sees it."""

    http: httpx.AsyncClient
    session: Session
    app: FastAPI

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.session.access_token}"}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def must(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def code(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, str]:
        answer = await self.ask(method, path, body, token)
        return answer.status_code, answer.json().get("code", "")

    async def url(self, address: str) -> httpx.Response:
        return await self.http.get("/whose" + urlsplit(address).path)

    async def another(self) -> Api:
        made = await self.app.state.services.supabase.sign_up(
            f"{uuid.uuid4().hex}@example.com", "correct horse", redirect_to=""
        )
        return Api(self.http, made, self.app)


@pytest.fixture
async def api(supabase: Running, database: Database, database_url: str) -> AsyncIterator[Api]:
    settings = Settings(
        database_url=database_url, supabase_url=supabase.url, supabase_anon_key=supabase.settings.publishable_key,
        supabase_service_key=supabase.settings.secret_key,
    )  # fmt: skip
    async with httpx.AsyncClient() as outside:
        identity = compose.identity(settings, database, outside)
        services = compose.services(settings, database, Points(), outside, PUBLIC + "/")
        app = make_app(Backend(database, Bus(None), activity=Activity(database)), identity=identity, services=services)

        @app.get("/whose/mcp/{client}/{transport}/{key}")
        async def whose(client: str, key: str) -> dict[str, str]:
            return {"user": str((await identity.of_connector(client, key)).user_id)}

        @app.get("/whoami")
        async def whoami(principal: Annotated[Principal, Depends(current)]) -> dict[str, Any]:
            return {"user": str(principal.user_id), "tags": principal.actor.tags, "write": principal.actor.write}

        session = await app.state.services.supabase.sign_up(
            f"{uuid.uuid4().hex}@example.com", "correct horse", redirect_to=""
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://jmem") as http:
            yield Api(http, session, app)


async def test_a_personal_url_is_made_used_rotated_and_revoked(api: Api) -> None:
    made = await api.must("POST", "/connections", {"client": "claude"}, 201)
    assert made["sse"].startswith(f"{PUBLIC}/mcp/claude/sse/jmc_")
    assert made["http"] == made["sse"].replace("/sse/", "/http/")
    assert (await api.url(made["http"])).json() == {"user": str(api.session.user_id)}
    (listed,) = (await api.must("GET", "/connections"))["connections"]
    assert (listed["id"], listed["client"], listed["name"]) == (made["id"], "claude", "claude")
    assert listed["last_used_at"]
    assert "sse" not in listed
    new = await api.must("POST", f"/connections/{made['id']}/rotate", {}, 201)
    assert new["replaces"] == made["id"]
    assert [(await api.url(one["http"])).status_code for one in (made, new)] == [200, 200]
    await api.must("DELETE", f"/connections/{made['id']}")
    assert [(await api.url(one["http"])).status_code for one in (made, new)] == [401, 200]
    last = await api.must("POST", f"/connections/{new['id']}/rotate", {"overlap_seconds": 0}, 201)
    assert [(await api.url(one["http"])).status_code for one in (new, last)] == [401, 200]


async def test_an_api_key_is_made_used_narrowed_rotated_and_revoked(api: Api) -> None:
    made = await api.must("POST", "/keys", {"name": "backup", "tags": ["work"], "expires_in_days": 7}, 201)
    days = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6) < days < timedelta(days=8)

    async def seen(text: str) -> httpx.Response:
        return await api.http.get("/whoami", headers={"authorization": f"Bearer {text}"})

    assert (await seen(made["key"])).json() == {"user": str(api.session.user_id), "tags": ["work"], "write": True}
    changed = await api.must("PATCH", f"/keys/{made['id']}", {"write": False, "tags": None, "name": "reader"})
    assert (changed["name"], changed["write"], changed["tags"], "key" in changed) == ("reader", False, None, False)
    assert (await seen(made["key"])).json() == {"user": str(api.session.user_id), "tags": None, "write": False}
    new = await api.must("POST", f"/keys/{made['id']}/rotate", {"overlap_seconds": 60}, 201)
    assert [(await seen(one["key"])).status_code for one in (made, new)] == [200, 200]
    assert [key["id"] for key in (await api.must("GET", "/keys"))["keys"]] == [new["id"], made["id"]]
    await api.must("DELETE", f"/keys/{made['id']}")
    assert [(await seen(one["key"])).status_code for one in (made, new)] == [401, 200]


async def test_a_program_is_listed_narrowed_and_shut_out(api: Api, database: Database) -> None:
    user = api.session.user_id
    async with database.tenant(user) as conn:
        await grants.allow(conn, user, "p-1", "ChatGPT", Rights("chatgpt"))
    (listed,) = (await api.must("GET", "/connections"))["connections"]
    assert (listed["id"], listed["kind"], listed["name"]) == ("p-1", "oauth", "ChatGPT")
    changed = await api.must("PATCH", "/connections/p-1", {"delete": False, "tags": ["work"]})
    assert (changed["delete"], changed["tags"], changed["write"]) == (False, ["work"], True)
    await api.must("DELETE", "/connections/p-1")
    assert (await api.must("GET", "/connections"))["connections"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [("/connections", {"client": "No Name"}), ("/connections", {}), ("/connections", {"client": "c", "user_id": "x"}),
     ("/keys", {"name": ""}), ("/keys", {"name": "n", "read": "yes"}), ("/keys", {"name": "n", "expires_in_days": 0}),
     ("/keys", {"name": "n", "read": False, "write": False, "delete": False}), ("/keys", {"name": "n", "tags": "work"}),
     ("/keys", {"name": "n", "tags": ["x" * 65]})],
)  # fmt: skip
async def test_what_can_not_be_is_refused(api: Api, path: str, body: Any) -> None:
    assert (await api.ask("POST", path, body)).status_code in (413, 422)
    assert (await api.must("GET", "/keys"))["keys"] == []


@pytest.mark.parametrize("body", [{}, {"read": None}, {"name": None}, {"read": False, "write": False, "delete": False}])
async def test_a_change_that_can_not_be_is_refused(api: Api, body: Any) -> None:
    made = await api.must("POST", "/keys", {"name": "n"}, 201)
    assert (await api.ask("PATCH", f"/keys/{made['id']}", body)).status_code == 422
    assert (await api.must("GET", "/keys"))["keys"] == [{name: made[name] for name in made if name != "key"}]


async def test_no_key_or_program_reaches_keys_connections_or_the_account(
    api: Api, database: Database, supabase: Running
) -> None:
    user = api.session.user_id
    whole = await api.must("POST", "/keys", {"name": "whole"}, 201)
    async with database.tenant(user) as conn:
        await grants.allow(conn, user, "p-1", "Program", Rights("program"))
    claims = jwt.decode(api.session.access_token, options={"verify_signature": False}) | {"client_id": "p-1"}
    for token in (whole["key"], supabase.double.sign(claims)):
        for method, path, body in (
            ("GET", "/keys", None), ("POST", "/keys", {"name": "more"}), ("GET", "/connections", None),
            ("POST", "/connections", {"client": "c"}), ("DELETE", f"/keys/{whole['id']}", None), ("GET", "/account", None),
            ("PATCH", f"/keys/{whole['id']}", {"name": "x"}), ("POST", f"/keys/{whole['id']}/rotate", {}),
            ("DELETE", "/account", {"confirm": "x"}), ("POST", "/account/sign-out", {}),
        ):  # fmt: skip
            assert await api.code(method, path, body, token) == (403, "missing_scope")
    assert len((await api.must("GET", "/keys"))["keys"]) == 1


async def test_another_persons_keys_and_connections_do_not_exist(api: Api) -> None:
    other = await api.another()
    key = await api.must("POST", "/keys", {"name": "mine"}, 201)
    url = await api.must("POST", "/connections", {"client": "claude"}, 201)
    for method, tail, body in (("PATCH", "", {"name": "x"}), ("POST", "/rotate", {}), ("DELETE", "", None)):
        for path in (f"/keys/{key['id']}", f"/connections/{url['id']}"):
            assert (await other.code(method, path + tail, body))[0] == 404
            assert (await api.ask(method, path + tail, body)).status_code in (200, 201)  # the positive control
    assert (await other.must("GET", "/keys"))["keys"] == []
    assert (await other.must("GET", "/connections"))["connections"] == []


async def test_a_key_is_no_connection_and_the_other_way_round(api: Api) -> None:
    key = await api.must("POST", "/keys", {"name": "mine"}, 201)
    url = await api.must("POST", "/connections", {"client": "claude"}, 201)
    assert await api.code("DELETE", f"/connections/{key['id']}") == (404, "unknown_program")
    assert await api.code("POST", f"/connections/{key['id']}/rotate", {}) == (404, "unknown_connection")
    assert await api.code("DELETE", f"/keys/{url['id']}") == (404, "unknown_key")


async def test_where_to_sign_in_is_told_to_everybody(api: Api, supabase: Running) -> None:
    answer = await api.http.get("/api/v1/auth")
    assert answer.json() == {"supabase_url": supabase.url, "publishable_key": supabase.settings.publishable_key}
    assert supabase.settings.secret_key not in answer.text


async def test_the_end_of_an_account_is_told_to_whoever_knows_its_id(api: Api) -> None:
    me = await api.must("GET", "/account")
    for account, status in ((me["id"], 200), (str(uuid.uuid4()), 200), ("me", 422)):
        assert (await api.http.get("/api/v1/auth", params={"account": account})).status_code == status
    await api.must("DELETE", "/account", {"confirm": me["email"]}, 202)
    ended = await api.http.get("/api/v1/auth", params={"account": me["id"]})
    assert (ended.status_code, ended.json()["code"]) == (410, "account_deleted")
    assert (await api.http.get("/api/v1/auth")).status_code == 200


@pytest.mark.parametrize(("scope", "elsewhere"), [("local", 200), ("global", 401)])
async def test_signing_out_ends_sessions_at_once(api: Api, scope: str, elsewhere: int) -> None:
    email = (await api.must("GET", "/account"))["email"]
    other = await api.app.state.services.supabase.sign_in(email, "correct horse")
    await api.must("POST", "/account/sign-out", {"scope": scope})
    assert await api.code("GET", "/account") == (401, "signed_out")
    assert (await api.ask("GET", "/account", token=other.access_token)).status_code == elsewhere


async def test_an_account_is_deleted_once_its_address_is_typed(api: Api) -> None:
    me = await api.must("GET", "/account")
    key = await api.must("POST", "/keys", {"name": "n"}, 201)
    assert await api.code("DELETE", "/account", {"confirm": "somebody@example.com"}) == (422, "not_confirmed")
    assert await api.must("DELETE", "/account", {"confirm": me["email"].upper()}, 202) == {"deleted": True}
    assert await api.code("GET", "/account") == (410, "account_deleted")
    assert await api.code("GET", "/memories", token=key["key"]) == (410, "account_deleted")
    assert not await api.app.state.services.supabase.has_user(api.session.user_id)


def test_identity_needs_a_project_and_a_proper_secret(database: Database) -> None:
    for options, field in (
        ({}, "SUPABASE_URL"),
        ({"supabase_url": "https://x", "supabase_jwt_secret": "short"}, "SUPABASE_JWT_SECRET"),
    ):
        with pytest.raises(Invalid) as refused:
            compose.identity(Settings(database_url="", **options), database, httpx.AsyncClient())
        assert refused.value.detail["field"] == field


async def test_every_route_of_the_account_is_described_and_asks_who_it_is(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    schemes, described = document["components"]["securitySchemes"], document["paths"]
    assert (schemes["bearer"]["scheme"], schemes["api_key"]["name"]) == ("bearer", "X-API-Key")
    for path, ways in (("/api/v1/memories", ["bearer"]), ("/openmemory/api/v1/stats/", ["bearer", "api_key"])):
        assert described[path]["get"]["security"] == [{way: []} for way in ways]
    assert "security" not in described["/api/v1/auth"]["get"], "needs no token"
    mine = {
        path: item
        for path, item in described.items()
        if path.startswith(("/api/v1/keys", "/api/v1/connections", "/api/v1/account", "/api/v1/auth"))
    }
    assert len(mine) == 10
    for path, item in mine.items():
        for method, operation in item.items():
            assert operation["summary"]
            answer = await api.http.request(method, path.replace("{", "").replace("}", ""))
            assert answer.status_code == (200 if path.endswith("/auth") else 401)


async def test_programs_are_told_by_name_with_what_all_their_keys_let_them_do(api: Api) -> None:
    assert await api.must("GET", "/clients") == {"clients": []}
    narrow = {"client": "claude", "read": True, "write": False, "delete": False, "tags": ["b", "a"], "review": True}
    url = await api.must("POST", "/connections", {**narrow, "writes_per_hour": 5}, 201)
    key = await api.must("POST", "/keys", {"name": "script", "client": "claude", "read": False, "tags": ["c"]}, 201)
    cursor = await api.must("POST", "/connections", {"client": "cursor"}, 201)
    claude, other = (await api.must("GET", "/clients"))["clients"]
    assert claude == {
        "name": "claude", "read": True, "write": True, "delete": True, "tags": ["a", "b", "c"], "review": False,
        "writes_per_hour": None, "generation": 2, "connected_at": key["created_at"], "last_seen": None, "revoked": False,
    }  # fmt: skip
    assert (other["name"], other["tags"], other["generation"]) == ("cursor", None, 1)
    await api.must("DELETE", f"/keys/{key['id']}")
    await api.must("DELETE", f"/connections/{cursor['id']}")
    await api.url(url["http"])
    claude, other = (await api.must("GET", "/clients"))["clients"]
    assert (claude["write"], claude["tags"], claude["review"], claude["writes_per_hour"]) == (
        False,
        ["a", "b"],
        True,
        5,
    )
    assert claude["last_seen"]
    assert (claude["revoked"], other["revoked"], other["write"]) == (False, True, True)
    async with api.app.state.backend.database.tenant(api.session.user_id) as conn:
        await grants.allow(conn, api.session.user_id, "p-1", "ChatGPT", Rights("chatgpt"))
    own = await api.must("POST", "/keys", {"name": "laptop"}, 201)
    named = [one["name"] for one in (await api.ask("GET", "/clients", token=own["key"])).json()["clients"]]
    assert named == sorted({"chatgpt", "claude", "cursor", own["client"]})
    assert await api.code("GET", "/clients", token=key["key"]) == (401, "key_revoked")
    asks = await api.must("POST", "/keys", {"name": "few", "tags": ["a"]}, 201)
    assert await api.code("GET", "/clients", token=asks["key"]) == (403, "missing_scope")


async def test_what_a_key_writes_may_wait_and_be_capped(api: Api) -> None:
    made = await api.must(
        "POST", "/keys", {"name": "guest", "client": "guest", "review": True, "writes_per_hour": 2}, 201
    )
    assert (made["review"], made["writes_per_hour"]) == (True, 2)
    key = made["key"]
    added = (await api.ask("POST", "/memories", {"content": "I like tea"}, key)).json()
    assert added["state"] == "review"
    assert (await api.must("GET", "/memories"))["memories"] == []
    assert [m["id"] for m in (await api.must("GET", "/memories?state=review"))["memories"]] == [added["id"]]
    assert await api.code("PATCH", f"/memories/{added['id']}", {"state": "active"}, key) == (403, "under_review")
    assert await api.code("POST", "/review", {"decision": "approve", "all": True}, key) == (403, "refused")
    await api.ask("POST", "/memories", {"content": "I like coffee"}, key)
    over = await api.ask("POST", "/memories", {"content": "I like water"}, key)
    assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
    assert 0 < int(over.headers["retry-after"]) <= 3600
    assert "under Connections" in over.json()["fix"], "a machine's command changes nothing here"
    done = await api.must("POST", "/review", {"decision": "approve", "ids": [added["id"]]})
    assert done == {"decision": "approve", "count": 1, "ids": [added["id"]], "skipped": []}
    assert await api.code("POST", "/review", {"decision": "approve", "ids": [added["id"]]}) == (404, "not_waiting")
    assert await api.code("POST", "/review", {"decision": "reject"}) == (422, "invalid")
    assert (await api.must("POST", "/review", {"decision": "reject", "client": "guest"}))["count"] == 1
    assert [m["content"] for m in (await api.must("GET", "/memories"))["memories"]] == ["I like tea"]
    changed = await api.must("PATCH", f"/keys/{made['id']}", {"review": False, "writes_per_hour": None})
    assert (changed["review"], changed["writes_per_hour"], changed["read"]) == (False, None, True)
    assert (await api.ask("POST", "/memories", {"content": "I like water"}, key)).json()["state"] == "active"
    assert await api.code("PATCH", f"/keys/{made['id']}", {"writes_per_hour": 0}) == (422, "invalid")
    assert await api.code("PATCH", f"/keys/{made['id']}", {"review": None}) == (422, "invalid")
    url = await api.must("POST", "/connections", {"client": "claude", "review": True, "writes_per_hour": 5}, 201)
    assert (url["review"], url["writes_per_hour"]) == (True, 5)
    listed = (await api.must("GET", "/connections"))["connections"]
    assert [(one["review"], one["writes_per_hour"]) for one in listed] == [(True, 5)]


async def test_the_whole_account_comes_as_one_archive_without_a_secret(api: Api) -> None:
    key = await api.must("POST", "/keys", {"name": "backup"}, 201)
    url = await api.must("POST", "/connections", {"client": "claude"}, 201)
    added = await api.must("POST", "/memories", {"content": "I like tea"}, 201)
    other = await api.another()
    await other.must("POST", "/memories", {"content": "somebody else's"}, 201)
    assert (await api.code("GET", "/account/export", token=key["key"]))[0] == 403
    answer = await api.ask("GET", "/account/export")
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {
        "README.txt",
        "keys.json",
        "connections.json",
        "devices.json",
        "memories.jsonl",
        "activity.jsonl",
        "audit.jsonl",
    }
    assert [json.loads(line)["content"] for line in files["memories.jsonl"].splitlines()] == ["I like tea"]
    assert {one["id"] for one in json.loads(files["keys.json"])} == {key["id"], url["id"]}
    accesses = [json.loads(line) for line in files["activity.jsonl"].splitlines()]
    assert [(a["what"], [x["id"] for x in a["answers"]]) for a in accesses] == [("export", []), ("add", [added["id"]])]
    everything = "".join(files.values())
    assert "somebody else" not in everything
    for secret in (key["key"], url["http"].rpartition("/")[2]):
        assert secret not in everything
    lines = (await api.ask("GET", "/export")).text.splitlines()
    assert "\n".join(lines) + "\n" == files["memories.jsonl"]

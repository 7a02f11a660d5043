"""Programs that sign in: the unmodified client finds where, registers, and is let in by the person, or not."""

from __future__ import annotations

import asyncio
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, OAuthFlowError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.hosted.identity.conftest import Running
from tests.hosted.mcp.conftest import PASSWORD, Person, Replica, replica
from tests.hosted.mcp.raw import ACCEPT, HELLO, message

WELL_KNOWN = "/.well-known/oauth-protected-resource"


class Kept:
    """What the client keeps."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """The person at the page that asks for consent. Supabase is told by its page; `allow` is what our page does then."""

    def __init__(self, person: Person, allow: Callable[[str], None] | None, action: str = "approve") -> None:
        self._person, self._allow, self._action, self.asked, self._back = person, allow, action, 0, ""

    async def open(self, url: str) -> None:
        self.asked += 1
        async with httpx.AsyncClient() as browser:
            page = (await browser.get(url)).headers["location"]
            form = {
                "authorization_id": parse_qs(urlsplit(page).query)["authorization_id"][0], "email": self._person.email,
                "password": PASSWORD, "action": self._action,
            }  # fmt: skip
            if self._allow is not None:
                self._allow(parse_qs(urlsplit(url).query)["client_id"][0])
            self._back = (await browser.post(page, data=form)).headers["location"]

    async def returned(self) -> AuthorizationCodeResult:
        found = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(code=found.get("code", [""])[0], state=found.get("state", [""])[0])


@pytest.fixture(scope="module")
def served(environment: dict[str, str]) -> Iterator[Replica]:
    """A replica that is reached at its own address: a program checks that the address it asks is the one it is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with replica({**environment, "PUBLIC_URL": url, "REPLICA_PORT": str(port)}) as made:
        assert made.url == url
        yield made


@pytest.fixture
def allow(owner_url: str, ann: Person) -> Callable[[str], None]:
    """What the page for consent records: the program under the person's connections, with these rights."""

    def let_in(client_id: str, *, write: bool = True) -> None:
        async def run() -> None:
            conn = await asyncpg.connect(owner_url)
            try:
                await conn.execute(
                    "INSERT INTO jmem.grants (user_id, client_id, client, name, can_read, can_write, can_delete)"
                    " VALUES ($1, $2, 'program', 'Program', true, $3, true)"
                    " ON CONFLICT (user_id, client_id) DO UPDATE SET revoked_at = NULL, can_write = $3",
                    uuid.UUID(ann.user), client_id, write,
                )  # fmt: skip
            finally:
                await conn.close()

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        thread.join()

    return let_in


def provider(served: Replica, kept: Kept, browser: Browser) -> OAuthClientProvider:
    asked = OAuthClientMetadata(client_name="Program", redirect_uris=["http://127.0.0.1:3333/cb"])  # type: ignore[list-item]
    return OAuthClientProvider(f"{served.url}/mcp", asked, kept, browser.open, browser.returned)


def client(served: Replica, auth: Any) -> tuple[httpx2.AsyncClient, Client]:
    http = httpx2.AsyncClient(auth=auth, timeout=20)
    return http, Client(streamable_http_client(f"{served.url}/mcp", http_client=http))


@pytest.mark.parametrize("path", [WELL_KNOWN, WELL_KNOWN + "/mcp"])
def test_where_to_sign_in_is_told_to_everybody(served: Replica, supabase: Running, path: str) -> None:
    told = httpx.get(served.url + path)
    assert told.status_code == 200
    assert told.headers["access-control-allow-origin"] == "*"
    assert told.json() == {
        "resource": f"{served.url}/mcp", "authorization_servers": [supabase.settings.issuer],
        "bearer_methods_supported": ["header"], "resource_name": "jmem",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("token", [None, "Bearer", "Bearer garbage", "Bearer a.b.c", "Basic x"])
def test_who_proves_nothing_learns_where_to_sign_in(served: Replica, method: str, token: str | None) -> None:
    headers = {} if token is None else {"authorization": token}
    answer = httpx.request(method, f"{served.url}/mcp", headers=headers)
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert f'resource_metadata="{served.url}{WELL_KNOWN}' in challenge
    assert ("error=" in challenge) == (token is not None)


def test_only_a_programs_token_counts(served: Replica, ann: Person) -> None:
    made = ann.connect()
    others = {"session": ann.token, "api key": ann.must("POST", "/keys", {"name": "script"})["key"],
              "personal url": made["http"].rsplit("/", 1)[1]}  # fmt: skip
    for what, token in others.items():
        headers = {**ACCEPT, "authorization": f"Bearer {token}"}
        answer = httpx.post(f"{served.url}/mcp", json=message("initialize", HELLO), headers=headers)
        assert answer.status_code in (401, 403), what
        assert "www-authenticate" in answer.headers, what
        assert "mcp-session-id" not in answer.headers, what
    assert ann.must("GET", "/memories")["memories"] == []


async def test_a_program_registers_is_let_in_and_works(
    served: Replica, ann: Person, bob: Person, allow: Callable[[str], None]
) -> None:
    bob.must("POST", "/memories", {"content": "Bob's boat is called Bora"})
    kept, browser = Kept(), Browser(ann, allow)
    http, mcp = client(served, provider(served, kept, browser))
    async with http, mcp:
        assert [tool.name for tool in (await mcp.list_tools()).tools][:4] == [
            "add_memories", "search_memory", "list_memories", "delete_memories",
        ]  # fmt: skip
        added = (await mcp.call_tool("add_memories", {"text": "Ann's boat is called Sirocco"})).structured_content
        assert added["memories"][0]["client"] == "program"
        found = (await mcp.call_tool("search_memory", {"query": "what is the boat called"})).structured_content
        assert [one["content"] for one in found["memories"]] == ["Ann's boat is called Sirocco"]
    assert browser.asked == 1
    (listed,) = ann.must("GET", "/connections")["connections"]
    assert (listed["kind"], listed["client"]) == ("oauth", "program")
    assert listed["last_used_at"]
    assert kept.tokens

    def ask() -> httpx.Response:
        headers = {**ACCEPT, "authorization": f"Bearer {kept.tokens.access_token}"}  # type: ignore[union-attr]
        body = message("tools/call", {"name": "add_memories", "arguments": {"text": "Later"}})
        return httpx.post(f"{served.url}/mcp", json=body, headers=headers)

    assert ask().status_code == 200
    ann.must("PATCH", f"/connections/{listed['id']}", {"write": False})
    assert ask().json()["result"]["isError"] is True
    ann.must("DELETE", f"/connections/{listed['id']}")
    refused = ask()
    assert (refused.status_code, refused.json()["code"]) == (401, "program_not_allowed")
    assert "resource_metadata" in refused.headers["www-authenticate"]


async def test_a_program_that_the_person_did_not_let_in_here_stays_out(served: Replica, ann: Person) -> None:
    kept = Kept()
    http, mcp = client(served, provider(served, kept, Browser(ann, None)))
    with pytest.raises(BaseException):  # noqa: B017  the client's own group of errors
        async with http, mcp:
            await mcp.list_tools()
    assert kept.tokens, "Supabase gave a token"
    headers = {**ACCEPT, "authorization": f"Bearer {kept.tokens.access_token}"}
    answer = httpx.post(f"{served.url}/mcp", json=message("initialize", HELLO), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "program_not_allowed")


async def test_a_refusal_reaches_the_program(served: Replica, ann: Person) -> None:
    http = httpx2.AsyncClient(auth=provider(served, Kept(), Browser(ann, None, "deny")), timeout=20)
    async with http:
        with pytest.raises(OAuthFlowError):
            await http.post(f"{served.url}/mcp", json=message("initialize", HELLO), headers=ACCEPT)

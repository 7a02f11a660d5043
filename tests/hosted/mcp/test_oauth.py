"""Programs that sign in: the unmodified client finds where, registers, and is let in by the person, or not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, OAuthFlowError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

from tests.hosted.identity.conftest import Running
from tests.hosted.mcp.conftest import PASSWORD, Person, Replica, replica, sign_up
from tests.hosted.mcp.raw import ACCEPT, HELLO, call, message
from tests.hosted.oauth import Kept
from tests.hosted.world import until

WELL_KNOWN = "/.well-known/oauth-protected-resource"


class Form(HTMLParser):
    """What a page's form sends when nothing is changed in it, and where the page leads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        ticked = found.get("type") not in ("checkbox", "radio") or "checked" in found
        if tag == "input" and "name" in found and ticked:
            self.fields[found["name"]] = found.get("value", "on")
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


class Browser:
    """The person at a browser, who signs in at the backend's page and decides there."""

    def __init__(self, person: Person, decision: str = "allow", **unticked: bool) -> None:
        self._person, self._decision, self._unticked = person, decision, unticked
        self.asked, self._back = 0, ""

    async def open(self, url: str) -> None:
        self.asked += 1
        async with httpx.AsyncClient(follow_redirects=True, timeout=20) as http:
            page = await http.get(url)
            assert page.url.path == "/sign-in", page.text
            form = Form(page.text)
            page = await http.post(
                str(page.url), data={**form.fields, "email": self._person.email, "password": PASSWORD}
            )
            assert page.url.path == "/oauth/consent", page.text
            assert "Let Program in?" in page.text
            fields = {k: v for k, v in Form(page.text).fields.items() if self._unticked.get(k, True)}
            page = await http.post(str(page.url.copy_with(query=None)), data={**fields, "decision": self._decision})
            assert page.status_code == 200, page.text
            self._back = next(link for link in Form(page.text).links if link.startswith("http://127.0.0.1:3333/cb"))

    async def returned(self) -> AuthorizationCodeResult:
        found = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(code=found.get("code", [""])[0], state=found.get("state", [""])[0])


class Elsewhere(Browser):
    """The person lets the program in at another application of the same project, which knows nothing of this one."""

    async def open(self, url: str) -> None:
        async with httpx.AsyncClient() as http:
            page = (await http.get(url)).headers["location"]
            id = parse_qs(urlsplit(page).query)["authorization_id"][0]
            issuer = url.partition("/oauth/")[0]
            headers = {"authorization": f"Bearer {self._person.token}", "apikey": "sb_publishable_dev"}
            await http.get(f"{issuer}/oauth/authorizations/{id}", headers=headers)
            told = await http.post(
                f"{issuer}/oauth/authorizations/{id}/consent", json={"action": "approve"}, headers=headers
            )
            self._back = told.raise_for_status().json()["redirect_url"]


@pytest.fixture(scope="module")
def served(environment: dict[str, str], supabase: Running) -> Iterator[Replica]:
    """A replica that is reached at its own address: a program checks that the address it asks is the one it is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    supabase.settings.site_url, supabase.settings.consent_path = url, "/oauth/consent"
    with replica({**environment, "PUBLIC_URL": url, "REPLICA_PORT": str(port)}) as made:
        assert made.url == url
        yield made


@pytest.fixture
def person(supabase: Running, served: Replica) -> Callable[[], Person]:
    return lambda: sign_up(supabase, served.url)


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


async def test_a_program_registers_is_let_in_and_works(served: Replica, ann: Person, bob: Person) -> None:
    bob.must("POST", "/memories", {"content": "Bob's boat is called Bora"})
    kept, browser = Kept(), Browser(ann)
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
    assert (listed["kind"], listed["client"], listed["name"]) == ("oauth", "program", "Program")
    assert listed["last_used_at"]
    until(lambda: [one for one in ann.must("GET", "/access")["accesses"] if one["client"] == "program"], "no activity")
    assert add(served, kept).status_code == 200
    ann.must("PATCH", f"/connections/{listed['id']}", {"write": False})
    assert add(served, kept).json()["result"]["isError"] is True
    ann.must("DELETE", f"/connections/{listed['id']}")
    refused = add(served, kept)
    assert (refused.status_code, refused.json()["code"]) == (401, "program_not_allowed")
    assert "resource_metadata" in refused.headers["www-authenticate"]


def add(served: Replica, kept: Kept) -> httpx.Response:
    """A call with the token that a program has."""
    assert kept.tokens
    headers = {**ACCEPT, "authorization": f"Bearer {kept.tokens.access_token}"}
    return httpx.post(f"{served.url}/mcp", json=call("add_memories", text="Later"), headers=headers)


async def test_a_program_may_do_what_was_ticked(served: Replica, ann: Person) -> None:
    http, mcp = client(served, provider(served, Kept(), Browser(ann, write=False)))
    async with http, mcp:
        assert (await mcp.call_tool("add_memories", {"text": "x"})).is_error
        assert not (await mcp.call_tool("list_memories", {})).is_error


async def test_a_program_that_was_let_in_elsewhere_stays_out(served: Replica, ann: Person) -> None:
    kept = Kept()
    async with httpx2.AsyncClient(auth=provider(served, kept, Elsewhere(ann)), timeout=20) as http:
        answer = await http.post(f"{served.url}/mcp", json=message("initialize", HELLO), headers=ACCEPT)
        assert answer.status_code == 401
    refused = add(served, kept)
    assert (refused.status_code, refused.json()["code"]) == (401, "program_not_allowed")
    assert ann.must("GET", "/connections")["connections"] == []


async def test_a_refusal_reaches_the_program(served: Replica, ann: Person) -> None:
    async with httpx2.AsyncClient(auth=provider(served, Kept(), Browser(ann, "deny")), timeout=20) as http:
        with pytest.raises(OAuthFlowError):
            await http.post(f"{served.url}/mcp", json=message("initialize", HELLO), headers=ACCEPT)

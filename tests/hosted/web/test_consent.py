"""Letting programs in by OAuth when the project and this backend don't agree about who was let in."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.hosted.identity.conftest import Running
from tests.hosted.web.conftest import PASSWORD, Visitor, shown
from tests.hosted.world import World

Make = Callable[..., Visitor]
BACK = "http://127.0.0.1:3333/cb"


class Program:
    """A program that signs in by OAuth."""

    def __init__(self, supabase: Running, name: str = "Notes", back: str = BACK) -> None:
        self.auth, self.back = f"{supabase.url}/auth/v1", back
        asked = {"client_name": name, "redirect_uris": [back], "token_endpoint_auth_method": "none"}
        self.id = httpx.post(f"{self.auth}/oauth/clients/register", json=asked).json()["client_id"]
        self.verifier = secrets.token_urlsafe(48)

    def ask(self) -> str:
        """Where the person is sent, as a path of the backend."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"client_id": self.id, "redirect_uri": self.back, "response_type": "code", "code_challenge": digest,
                 "code_challenge_method": "S256", "state": "s"}  # fmt: skip
        place = urlsplit(httpx.get(f"{self.auth}/oauth/authorize", params=query).headers["location"])
        return f"{place.path}?{place.query}"

    def token(self, page: str) -> str:
        """For the code with which a page sends the person back."""
        found = re.search(r'href="(http://127\.0\.0\.1:3333/cb[^"]+)"', page)
        assert found, page
        code = parse_qs(urlsplit(found[1].replace("&amp;", "&")).query)["code"][0]
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": self.id,
                 "code_verifier": self.verifier}  # fmt: skip
        told = httpx.post(f"{self.auth}/oauth/token", data=asked)
        return str(told.raise_for_status().json()["access_token"])


@pytest.fixture
def program(world: World, supabase: Running) -> Program:
    return Program(supabase)


def allow(me: Visitor, path: str) -> httpx.Response:
    page = me.get(path)
    assert "Let Notes in?" in shown(page), shown(page)
    id = parse_qs(urlsplit(path).query)["authorization_id"][0]
    return me.post("/oauth/consent", authorization_id=id, decision="allow", permissions="1", read="on", write="on")


def reads(world: World, token: str) -> int:
    return httpx.get(f"{world.url}/api/v1/memories", headers={"authorization": f"Bearer {token}"}).status_code


def consent_at_the_project_alone(me: Visitor, supabase: Running, program: Program) -> None:
    """As after a crash between the project's consent and ours."""
    keys = {"apikey": supabase.settings.publishable_key}
    told = httpx.post(f"{program.auth}/token?grant_type=password", json={"email": me.email, "password": PASSWORD},
                      headers=keys).json()  # fmt: skip
    headers = {**keys, "authorization": f"Bearer {told['access_token']}"}
    id = parse_qs(urlsplit(program.ask()).query)["authorization_id"][0]
    httpx.get(f"{program.auth}/oauth/authorizations/{id}", headers=headers).raise_for_status()
    decided = httpx.post(
        f"{program.auth}/oauth/authorizations/{id}/consent", json={"action": "approve"}, headers=headers
    )
    decided.raise_for_status()


def test_a_consent_that_the_project_alone_knows_is_asked_for_anew(
    world: World, supabase: Running, visitors: Make, program: Program
) -> None:
    me = visitors(signed_in=True)
    consent_at_the_project_alone(me, supabase, program)
    assert reads(world, program.token(allow(me, program.ask()).text)) == 200


def test_a_program_that_was_shut_out_here_alone_has_to_ask(world: World, visitors: Make, program: Program) -> None:
    me = visitors(signed_in=True)
    token = program.token(allow(me, program.ask()).text)
    assert reads(world, token) == 200
    world.query("UPDATE jmem.grants SET revoked_at = now() WHERE client_id = $1 RETURNING 1", program.id)
    assert reads(world, token) == 401
    assert reads(world, program.token(allow(me, program.ask()).text)) == 200


def test_a_program_that_is_let_in_is_not_asked_about_again(world: World, visitors: Make, program: Program) -> None:
    me = visitors(signed_in=True)
    first = program.token(allow(me, program.ask()).text)
    again = me.get(program.ask())
    assert "Let Notes in?" not in shown(again)
    assert reads(world, program.token(again.text)) == 200
    assert reads(world, first) == 200, "the consents were compared, and this one stays"


@pytest.mark.parametrize("back", ["https:/evil.example/cb", "https://evil.example\\@localhost/cb"])
def test_nobody_is_asked_who_could_be_shown_another_place_than_they_are_sent_to(
    supabase: Running, visitors: Make, back: str
) -> None:
    me, path = visitors(signed_in=True), Program(supabase, back=back).ask()
    assert me.get(path).status_code == 403
    me.get("/memories/new")
    id = parse_qs(urlsplit(path).query)["authorization_id"][0]
    assert me.post("/oauth/consent", authorization_id=id, decision="allow", read="on").status_code == 403


def test_no_program_goes_by_the_name_of_the_page_itself(world: World, supabase: Running, visitors: Make) -> None:
    me, program = visitors(signed_in=True), Program(supabase, "Web")
    path = program.ask()
    me.get(path)
    id = parse_qs(urlsplit(path).query)["authorization_id"][0]
    page = me.post("/oauth/consent", authorization_id=id, decision="allow", permissions="1", read="on")
    headers = {"authorization": f"Bearer {program.token(page.text)}"}
    asked = httpx.post(f"{world.url}/api/v1/search", json={"query": "asked behind the back"}, headers=headers)
    assert asked.is_success
    world.settle()
    assert "asked behind the back" in shown(me.get("/activity")), "what the page itself asks is left out there"


@pytest.mark.parametrize("id", ["", "../user", "a/b", "a?b", "%00", '"><script>', "x" * 200])
def test_what_is_no_request_is_told_as_one(visitors: Make, id: str) -> None:
    me = visitors(signed_in=True)
    assert me.get("/oauth/consent", params={"authorization_id": id}).status_code == 404
    me.get("/memories/new")
    assert me.post("/oauth/consent", authorization_id=id, decision="allow").status_code == 404


def test_a_consent_with_a_wrong_number_keeps_what_was_ticked(visitors: Make, program: Program) -> None:
    me = visitors(signed_in=True)
    path = program.ask()
    me.get(path)
    id = parse_qs(urlsplit(path).query)["authorization_id"][0]
    page = me.post("/oauth/consent", authorization_id=id, decision="allow", read="on", writes_per_hour="many")
    assert page.status_code == 422
    ticked = re.findall(r'type="checkbox" name="(\w+)" value="1" checked', page.text)
    assert (ticked, 'value="many"' in page.text) == (["read"], True)

"""The official MCP client finds the authorization server, registers, asks for consent and refreshes, by itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, OAuthFlowError
from mcp.shared.auth import OAuthClientMetadata
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hosted.identity.errors import BadToken
from hosted.identity.jwks import KeySet
from hosted.identity.jwt import Verifier
from tests.hosted.identity.conftest import Running, Server
from tests.hosted.oauth import Kept

PASSWORD = "correct horse"
PATH = "/.well-known/oauth-protected-resource/mcp"


class Resource(Server):
    """A server that only programs with a token of the project may ask, as hosted MCP is."""

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self._issuer = issuer
        self.serve(Starlette(routes=[Route("/mcp", self._asked), Route(PATH, self._metadata)]))

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse({"resource": f"{self.url}/mcp", "authorization_servers": [self._issuer]})

    async def _asked(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        async with httpx.AsyncClient() as http:
            verifier = Verifier(self._issuer, KeySet(f"{self._issuer}/.well-known/jwks.json", http))
            try:
                claims = await verifier.verify(token)
            except BadToken as error:
                return JSONResponse(error.problem(), error.status, error.headers(f"{self.url}{PATH}"))
        return JSONResponse({"user": str(claims.user_id), "program": claims.client_id})


class Person:
    """Somebody at a browser, before the double's own consent page."""

    def __init__(self, email: str, action: str = "approve") -> None:
        self._email, self._action, self.asked, self._back = email, action, 0, ""

    async def open(self, url: str) -> None:
        self.asked += 1
        async with httpx.AsyncClient() as browser:
            page = (await browser.get(url)).headers["location"]
            authorization_id = parse_qs(urlsplit(page).query)["authorization_id"][0]
            form = {
                "authorization_id": authorization_id,
                "email": self._email,
                "password": PASSWORD,
                "action": self._action,
            }
            assert "Let a program in?" in (await browser.get(page)).text
            assert (
                "Wrong address"
                in (await browser.post(page, data={**form, "password": "wrong", "action": "approve"})).text
            )
            self._back = (await browser.post(page, data=form)).headers["location"]

    async def returned(self) -> AuthorizationCodeResult:
        found = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(code=found.get("code", [""])[0], state=found.get("state", [""])[0])


def provider(resource: Resource, kept: Kept, person: Person, **metadata: Any) -> OAuthClientProvider:
    asked = OAuthClientMetadata(client_name="Program", redirect_uris=["http://127.0.0.1:3333/cb"], **metadata)  # type: ignore[list-item]
    return OAuthClientProvider(f"{resource.url}/mcp", asked, kept, person.open, person.returned)


async def user_of(supabase: Running, email: str) -> str:
    async with httpx.AsyncClient() as http:
        made = await http.post(f"{supabase.settings.issuer}/signup", json={"email": email, "password": PASSWORD},
                               headers={"apikey": supabase.settings.publishable_key})  # fmt: skip
    return str(made.json()["user"]["id"])


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
async def test_the_mcp_client_gets_in_and_stays_in(supabase: Running, email: str, method: str) -> None:
    user, kept, person = await user_of(supabase, email), Kept(), Person(email)
    with Resource(supabase.settings.issuer) as resource:
        async with httpx2.AsyncClient(auth=provider(resource, kept, person, token_endpoint_auth_method=method)) as http:
            answer = await http.get(f"{resource.url}/mcp")
            assert kept.client
            assert answer.json() == {"user": user, "program": kept.client.client_id}
            assert (await http.get(f"{resource.url}/mcp")).status_code == 200
        assert person.asked == 1
        assert kept.tokens
        first = kept.tokens.refresh_token
        kept.tokens = kept.tokens.model_copy(update={"access_token": "worn.out.token", "expires_in": -10})
        again = provider(resource, kept, person)
        await again._initialize()
        again.context.update_token_expiry(kept.tokens)
        await again.context.storage.set_tokens(kept.tokens)
        async with httpx2.AsyncClient(auth=again) as http:
            assert (await http.get(f"{resource.url}/mcp")).json()["user"] == user
        assert kept.tokens.refresh_token != first


async def test_a_refusal_reaches_the_mcp_client(supabase: Running, email: str) -> None:
    await user_of(supabase, email)
    with Resource(supabase.settings.issuer) as resource:
        async with httpx2.AsyncClient(auth=provider(resource, Kept(), Person(email, "deny"))) as http:
            with pytest.raises(OAuthFlowError):
                await http.get(f"{resource.url}/mcp")

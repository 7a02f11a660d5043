"""The backend's own thin client against the double, and its tokens through the verifier."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from hosted.identity.errors import BadToken, IdentityUnavailable
from hosted.identity.jwks import KeySet
from hosted.identity.jwt import Verifier
from hosted.identity.supabase import Pkce, SignInRefused, Supabase
from tests.hosted.identity.conftest import Running

PASSWORD = "correct horse"
BACK = "http://127.0.0.1:8000/auth/callback"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as made:
        yield made


@pytest.fixture
def auth(supabase: Running, http: httpx.AsyncClient) -> Supabase:
    return Supabase(supabase.url + "/", supabase.settings.publishable_key, supabase.settings.secret_key, http)


def code_in(address: str) -> str:
    return parse_qs(urlsplit(address).query)["code"][0]


async def test_a_session_begins_goes_on_and_ends(auth: Supabase, email: str) -> None:
    first = await auth.sign_up(email, PASSWORD, redirect_to=BACK)
    assert first
    second = await auth.sign_in(email, PASSWORD)
    assert (second.user_id, second.email) == (first.user_id, email)
    third = await auth.refresh(second.refresh_token)
    assert third.refresh_token != second.refresh_token
    assert (await auth.user(third.access_token))["email"] == email
    await auth.sign_out(third.access_token)
    with pytest.raises(SignInRefused) as refused:
        await auth.user(third.access_token)
    assert refused.value.reason == "session_not_found"
    await auth.sign_out(third.access_token)
    assert (await auth.user(first.access_token))["email"] == email


async def test_what_is_wrong_is_said_by_its_code(auth: Supabase, email: str) -> None:
    await auth.sign_up(email, PASSWORD, redirect_to=BACK)
    for reason, status, call in (
        ("invalid_credentials", 400, auth.sign_in(email, "wrong horse")),
        ("user_already_exists", 422, auth.sign_up(email, PASSWORD, redirect_to=BACK)),
        ("weak_password", 422, auth.sign_up("n" + email, "x", redirect_to=BACK)),
        ("refresh_token_not_found", 400, auth.refresh("unknown")),
        ("otp_expired", 403, auth.verify("email", email=email, token="000000")),
        ("flow_state_not_found", 404, auth.exchange("code", "verifier")),
        ("validation_failed", 400, auth.mail_link("no address", redirect_to=BACK, pkce=Pkce.make())),
    ):
        with pytest.raises(SignInRefused) as refused:
            await call
        assert (refused.value.reason, refused.value.status) == (reason, status)
        assert refused.value.problem()["reason"] == reason


async def test_links_by_mail_bring_a_code_back(
    auth: Supabase, supabase: Running, http: httpx.AsyncClient, email: str
) -> None:
    pkce = Pkce.make()
    await auth.mail_link(email, redirect_to=BACK, pkce=pkce)
    back = (await http.get(supabase.mail(email)["link"])).headers["location"]
    assert back.startswith(BACK)
    session = await auth.exchange(code_in(back), pkce.verifier)
    await auth.change_user(session.access_token, redirect_to=BACK, password=PASSWORD)
    assert (await auth.sign_in(email, PASSWORD)).user_id == session.user_id
    await auth.mail_recovery(email, redirect_to=BACK, pkce=pkce)
    found = await auth.verify("recovery", token_hash=supabase.mail(email)["token_hash"])
    assert found.user_id == session.user_id


async def test_another_account_signs_in(auth: Supabase, http: httpx.AsyncClient, email: str) -> None:
    pkce = Pkce.make()
    page = (await http.get(auth.authorize_url("github", redirect_to=BACK, pkce=pkce))).headers["location"]
    state = parse_qs(urlsplit(page).query)["state"][0]
    callback = await http.post(page, data={"state": state, "email": email, "action": "allow"})
    back = (await http.get(callback.headers["location"])).headers["location"]
    assert (await auth.exchange(code_in(back), pkce.verifier)).email == email


async def test_a_program_is_let_in_and_shut_out(
    auth: Supabase, supabase: Running, http: httpx.AsyncClient, email: str
) -> None:
    session = await auth.sign_up(email, PASSWORD, redirect_to=BACK)
    assert session
    pkce = Pkce.make()
    metadata = (await http.get(f"{supabase.url}/.well-known/oauth-authorization-server/auth/v1")).json()
    redirect_uri = "http://127.0.0.1:4444/cb"
    client = (await http.post(metadata["registration_endpoint"], json={
        "client_name": "Program", "redirect_uris": [redirect_uri]})).json()  # fmt: skip
    asked = {"client_id": client["client_id"], "redirect_uri": redirect_uri, "response_type": "code",
             "code_challenge": pkce.challenge, "code_challenge_method": "S256", "state": "st"}  # fmt: skip

    async def begun() -> str:
        page = (await http.get(metadata["authorization_endpoint"], params=asked)).headers["location"]
        return parse_qs(urlsplit(page).query)["authorization_id"][0]

    authorization_id = await begun()
    assert (await auth.authorization(session.access_token, authorization_id))["client"]["name"] == "Program"
    code = code_in(await auth.decide(session.access_token, authorization_id, "approve"))
    wanted = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": pkce.verifier,
        "redirect_uri": redirect_uri,
    }
    nobody = await http.post(metadata["token_endpoint"], data={**wanted, "client_id": client["client_id"]})
    assert (nobody.status_code, nobody.json()["error"]) == (401, "invalid_client")
    tokens = (await http.post(metadata["token_endpoint"], data=wanted,
                              auth=(client["client_id"], client["client_secret"]))).json()  # fmt: skip
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["client_id"], claims["sub"]) == (client["client_id"], str(session.user_id))
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    secret = (client["client_id"], client["client_secret"])
    assert (await http.post(metadata["token_endpoint"], data=again, auth=secret)).json()["access_token"]
    with pytest.raises(SignInRefused):
        await auth.refresh(tokens["refresh_token"])
    assert "code=" in (await auth.authorization(session.access_token, await begun()))["redirect_url"]
    await auth.revoke_program(session.access_token, client["client_id"])
    await auth.revoke_program(session.access_token, client["client_id"])
    assert (await http.post(metadata["token_endpoint"], data=again, auth=secret)).status_code == 400
    denied = await auth.authorization(session.access_token, authorization_id := await begun())
    assert "redirect_url" not in denied
    assert "error=access_denied" in await auth.decide(session.access_token, authorization_id, "deny")


async def test_a_user_is_removed(auth: Supabase, email: str) -> None:
    session = await auth.sign_up(email, PASSWORD, redirect_to=BACK)
    assert session
    assert await auth.has_user(session.user_id)
    for _ in range(2):
        await auth.delete_user(session.user_id)
    assert not await auth.has_user(session.user_id)
    with pytest.raises(SignInRefused):
        await auth.refresh(session.refresh_token)


def odd_session(**odd: Any) -> httpx.Response:
    user = {"id": "0199f3a1-c2d4-4b3e-9c1a-0123456789ab"}
    return httpx.Response(
        200, text=json.dumps({"access_token": "a", "refresh_token": "r", "expires_at": 1, "user": user, **odd})
    )


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(502, text="<html>"), httpx.Response(200, text="<html>"), httpx.Response(200, json={"access_token": "x"}),
     httpx.Response(200, json=[1]), httpx.Response(200, text="x" * 300_000), httpx.ReadTimeout("slow"),
     httpx.Response(200, text="[" * 100_000), odd_session(expires_at=float("inf")), odd_session(access_token=["x"]),
     odd_session(user={"id": 5})],
)  # fmt: skip
async def test_a_service_that_fails_is_said_so(answer: Any) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
        with pytest.raises(IdentityUnavailable) as failed:
            await Supabase("https://project.example", "key", "secret", http).sign_in("ann@example.com", PASSWORD)
    assert failed.value.status == 503


async def test_an_id_in_a_path_stays_in_it() -> None:
    seen: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
        client = Supabase("https://project.example", "key", "secret", http)
        for wanted in ("../admin/users", "a/b?c=d#e", "..", "."):
            await client.authorization("token", wanted)
    assert seen == [
        f"/auth/v1/oauth/authorizations/{part}" for part in ("..%2Fadmin%2Fusers", "a%2Fb%3Fc%3Dd%23e", "-", "-")
    ]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "HS256"])
async def test_real_tokens_are_verified_across_a_rotation(http: httpx.AsyncClient, algorithm: Any, email: str) -> None:
    secret = "s" * 40
    with Running(algorithm=algorithm, jwt_secret=secret) as running:
        issuer = running.settings.issuer
        now = 0.0
        keys = KeySet(f"{issuer}/.well-known/jwks.json", http, lambda: now)
        verifier = Verifier(issuer, keys, secret=secret if algorithm == "HS256" else "")
        auth = Supabase(running.url, running.settings.publishable_key, running.settings.secret_key, http)
        session = await auth.sign_up(email, PASSWORD, redirect_to=BACK)
        assert session
        claims = await verifier.verify(session.access_token)
        assert (claims.user_id, claims.email, claims.client_id) == (session.user_id, email, None)
        if algorithm == "HS256":
            return
        running.double.rotate()
        now += 30
        assert (
            await verifier.verify((await auth.refresh(session.refresh_token)).access_token)
        ).user_id == claims.user_id
        assert await verifier.verify(session.access_token)
        running.double.rotate(forget=True)
        now += 601
        with pytest.raises(BadToken, match="not known"):
            await verifier.verify(session.access_token)

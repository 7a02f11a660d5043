"""The official Python client, unmodified, against the double."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from supabase import Client, ClientOptions, create_client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from tests.hosted.identity.conftest import Running

PASSWORD = "correct horse"


@contextlib.contextmanager
def opened(running: Running, key: str | None = None, flow: Any = "pkce") -> Iterator[Client]:
    with httpx.Client() as http:
        options = ClientOptions(auto_refresh_token=False, flow_type=flow, httpx_client=http)
        yield create_client(running.url, key or running.settings.publishable_key, options)


@pytest.fixture
def client(supabase: Running) -> Iterator[Client]:
    with opened(supabase) as made:
        yield made


@pytest.fixture
def admin(supabase: Running) -> Iterator[Client]:
    with opened(supabase, supabase.settings.secret_key) as made:
        yield made


def signed_up(client: Client, email: str) -> Any:
    answer = client.auth.sign_up({"email": email, "password": PASSWORD})
    assert answer.session
    return answer.session


def test_a_person_signs_up_in_and_out(client: Client, email: str) -> None:
    answer = client.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Ann"}}})
    assert answer.user
    assert answer.user.email == email
    assert answer.user.user_metadata == {"name": "Ann"}
    client.auth.sign_out()
    again = client.auth.sign_in_with_password({"email": email.upper(), "password": PASSWORD})
    assert again.user
    assert again.user.id == answer.user.id
    got = client.auth.get_user()
    assert got
    assert got.user.id == answer.user.id
    assert [identity.provider for identity in got.user.identities or []] == ["email"]


@pytest.mark.parametrize("password", ["wrong horse", "x"])
def test_a_bad_password_is_refused(client: Client, email: str, password: str) -> None:
    signed_up(client, email)
    with pytest.raises(AuthApiError) as refused:
        client.auth.sign_in_with_password({"email": email, "password": password})
    assert (refused.value.status, refused.value.code) == (400, "invalid_credentials")


def test_a_sign_up_with_a_taken_address_or_a_short_password_is_refused(client: Client, email: str) -> None:
    signed_up(client, email)
    with pytest.raises(AuthApiError) as refused:
        client.auth.sign_up({"email": email, "password": PASSWORD})
    assert refused.value.code == "user_already_exists"
    with pytest.raises(AuthWeakPasswordError) as weak:
        client.auth.sign_up({"email": "n" + email, "password": "short"})
    assert weak.value.reasons == ["length"]


def test_a_wrong_project_key_is_refused(supabase: Running, email: str) -> None:
    with opened(supabase, "sb_publishable_other") as client, pytest.raises(AuthApiError) as refused:
        client.auth.sign_up({"email": email, "password": PASSWORD})
    assert refused.value.status == 401


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "HS256"])
def test_claims_are_proven_whatever_the_algorithm(algorithm: Any, email: str) -> None:
    with Running(algorithm=algorithm, jwt_secret="s" * 40) as running, opened(running) as client:
        session = signed_up(client, email)
        found = client.auth.get_claims()
        assert found
        claims = dict(found["claims"])
        assert claims["iss"] == f"{running.url}/auth/v1"
        assert claims["aud"] == "authenticated"
        assert claims["sub"] == session.user.id
        assert claims["role"] == "authenticated"
        assert claims["session_id"]
        published = httpx.get(f"{running.url}/auth/v1/.well-known/jwks.json")
        assert published.headers["cache-control"] == "public, max-age=600"
        assert len(published.json()["keys"]) == (0 if algorithm == "HS256" else 1)
        assert all(not {"d", "p", "k"} & set(key) for key in published.json()["keys"])


def test_keys_rotate_while_tokens_of_the_old_one_go_on(client: Client, supabase: Running, email: str) -> None:
    old = signed_up(client, email)
    kid = supabase.double.rotate("RS256")
    new = client.auth.refresh_session().session
    assert new
    found = client.auth.get_claims(new.access_token)
    assert found
    assert found["headers"]["kid"] == kid
    assert found["headers"]["alg"] == "RS256"
    assert client.auth.get_claims(old.access_token)
    supabase.double.rotate("ES256")


def test_refresh_tokens_rotate_and_the_one_before_gives_the_active_one(
    client: Client, supabase: Running, email: str
) -> None:
    first = signed_up(client, email).refresh_token
    second = client.auth.refresh_session(first).session
    assert second
    assert second.refresh_token != first
    with supabase.later(3000):
        lost = client.auth.refresh_session(first).session
        assert lost
        assert lost.refresh_token == second.refresh_token


def test_a_token_reused_within_the_interval_gives_the_active_one(client: Client, email: str) -> None:
    first = signed_up(client, email).refresh_token
    second = client.auth.refresh_session(first).session
    assert second
    third = client.auth.refresh_session(second.refresh_token).session
    assert third
    late = client.auth.refresh_session(first).session
    assert late
    assert late.refresh_token == third.refresh_token


def test_a_stolen_token_kills_the_family(client: Client, supabase: Running, email: str) -> None:
    first = signed_up(client, email).refresh_token
    second = client.auth.refresh_session(first).session
    assert second
    third = client.auth.refresh_session(second.refresh_token).session
    assert third
    with supabase.later(60):
        with pytest.raises(AuthApiError) as refused:
            client.auth.refresh_session(first)
        assert refused.value.code == "refresh_token_already_used"
        with pytest.raises(AuthApiError) as dead:
            client.auth.refresh_session(third.refresh_token)
        assert dead.value.code == "refresh_token_not_found"
        with pytest.raises(AuthApiError) as gone:
            client.auth.get_user(third.access_token)
        assert gone.value.code == "session_not_found"


def test_a_code_by_mail_signs_in_once_and_not_too_late(client: Client, supabase: Running, email: str) -> None:
    client.auth.sign_in_with_otp({"email": email})
    token = supabase.mail(email)["token"]
    wrong = f"{(int(token) + 1) % 10**6:06}"
    with pytest.raises(AuthApiError) as refused:
        client.auth.verify_otp({"email": email, "token": wrong, "type": "email"})
    assert refused.value.code == "otp_expired"
    answer = client.auth.verify_otp({"email": email, "token": token, "type": "email"})
    assert answer.session
    with pytest.raises(AuthApiError):
        client.auth.verify_otp({"email": email, "token": token, "type": "email"})
    client.auth.sign_in_with_otp({"email": email})
    late = supabase.mail(email)["token"]
    with supabase.later(3700), pytest.raises(AuthApiError):
        client.auth.verify_otp({"email": email, "token": late, "type": "email"})


def test_a_code_for_nobody_creates_nobody_when_asked_so(client: Client, supabase: Running, email: str) -> None:
    with pytest.raises(AuthApiError) as refused:
        client.auth.sign_in_with_otp({"email": email, "options": {"should_create_user": False}})
    assert refused.value.code == "otp_disabled"
    assert supabase.double.mails(email) == []


def test_a_magic_link_returns_with_a_code_that_only_its_asker_can_use(
    client: Client, supabase: Running, email: str
) -> None:
    client.auth.sign_in_with_otp({"email": email, "options": {"email_redirect_to": "http://127.0.0.1:8000/in?x=1"}})
    back = httpx.get(supabase.mail(email)["link"], follow_redirects=False).headers["location"]
    assert back.startswith("http://127.0.0.1:8000/in?x=1&code=")
    code = parse_qs(urlsplit(back).query)["code"][0]
    with opened(supabase) as thief, pytest.raises(AuthApiError) as refused:
        thief.auth.exchange_code_for_session({"auth_code": code, "code_verifier": "x" * 50, "redirect_to": ""})
    assert refused.value.code == "bad_code_verifier"
    assert client.auth.exchange_code_for_session({"auth_code": code}).session  # type: ignore[typeddict-item]


def test_a_magic_link_of_the_implicit_flow_carries_the_session(supabase: Running, email: str) -> None:
    with opened(supabase, flow="implicit") as client:
        client.auth.sign_in_with_otp({"email": email})
        link = supabase.mail(email)["link"]
        back = httpx.get(link, follow_redirects=False).headers["location"]
        found = parse_qs(urlsplit(back).fragment)
        assert client.auth.set_session(found["access_token"][0], found["refresh_token"][0]).user
        again = httpx.get(link, follow_redirects=False).headers["location"]
        assert parse_qs(urlsplit(again).fragment)["error_code"] == ["otp_expired"]


def test_a_link_never_returns_to_a_stranger(client: Client, supabase: Running, email: str) -> None:
    for elsewhere in ("https://evil.example/", "http://127.0.0.1:8000@evil.example/", "javascript:alert(1)"):
        client.auth.sign_in_with_otp({"email": email, "options": {"email_redirect_to": elsewhere}})
        back = httpx.get(supabase.mail(email)["link"], follow_redirects=False).headers["location"]
        assert urlsplit(back).netloc == "127.0.0.1:8000"


def test_a_sign_up_is_confirmed_by_mail(client: Client, supabase: Running, email: str) -> None:
    with supabase.with_settings(autoconfirm=False):
        answer = client.auth.sign_up({"email": email, "password": PASSWORD})
        assert answer.session is None
        with pytest.raises(AuthApiError) as refused:
            client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
        assert refused.value.code == "email_not_confirmed"
        client.auth.resend({"type": "signup", "email": email})
        token = supabase.mail(email)["token"]
        assert client.auth.verify_otp({"email": email, "token": token, "type": "signup"}).session
        known = client.auth.sign_up({"email": email, "password": PASSWORD})
        assert known.user
        assert known.user.identities == []
        assert known.user.id != answer.user.id  # type: ignore[union-attr]


def test_a_forgotten_password_is_replaced_and_other_sessions_end(client: Client, supabase: Running, email: str) -> None:
    elsewhere = signed_up(client, email)
    with opened(supabase) as mine:
        mine.auth.reset_password_for_email(email)
        mine.auth.verify_otp({"token_hash": supabase.mail(email)["token_hash"], "type": "recovery"})
        with pytest.raises(AuthApiError) as same:
            mine.auth.update_user({"password": PASSWORD})
        assert same.value.code == "same_password"
        mine.auth.update_user({"password": "another horse"})
        assert mine.auth.sign_in_with_password({"email": email, "password": "another horse"}).session
    with pytest.raises(AuthApiError):
        client.auth.refresh_session(elsewhere.refresh_token)


def test_a_forgotten_password_tells_nothing_of_who_has_an_account(
    client: Client, supabase: Running, email: str
) -> None:
    client.auth.reset_password_for_email(email)
    assert supabase.double.mails(email) == []


def test_an_address_changes_once_the_new_one_is_proven(client: Client, supabase: Running, email: str) -> None:
    signed_up(client, email)
    client.auth.update_user({"email": "new" + email})
    assert client.auth.get_user().user.email == email  # type: ignore[union-attr]
    token = supabase.mail("new" + email)["token"]
    client.auth.verify_otp({"email": "new" + email, "token": token, "type": "email_change"})
    assert client.auth.get_user().user.email == "new" + email  # type: ignore[union-attr]


def test_another_account_signs_in_by_pkce(client: Client, supabase: Running, email: str) -> None:
    asked = client.auth.sign_in_with_oauth(
        {"provider": "github", "options": {"redirect_to": "http://127.0.0.1:5555/back"}}
    )
    with httpx.Client(follow_redirects=False) as browser:
        page = browser.get(browser.get(asked.url).headers["location"])
        assert "Sign in with Github" in page.text
        state = parse_qs(urlsplit(str(page.url)).query)["state"][0]
        to_callback = browser.post(page.url, data={"state": state, "email": email, "action": "allow"})
        back = browser.get(to_callback.headers["location"]).headers["location"]
        assert back.startswith("http://127.0.0.1:5555/back?code=")
        replay = browser.get(to_callback.headers["location"])
        assert replay.status_code == 400
    code = parse_qs(urlsplit(back).query)["code"][0]
    session = client.auth.exchange_code_for_session({"auth_code": code})  # type: ignore[typeddict-item]
    assert session.user
    assert session.user.email == email
    assert session.user.app_metadata["providers"] == ["github"]


def test_a_refusal_at_the_other_account_comes_back(client: Client, supabase: Running) -> None:
    asked = client.auth.sign_in_with_oauth({"provider": "google"})
    with httpx.Client() as browser:
        page = browser.get(asked.url, follow_redirects=True)
        state = parse_qs(urlsplit(str(page.url)).query)["state"][0]
        denied = browser.post(page.url, data={"state": state, "action": "deny"})
        back = browser.get(denied.headers["location"]).headers["location"]
    assert parse_qs(urlsplit(back).query)["error"] == ["access_denied"]


@pytest.mark.parametrize(
    ("scope", "mine", "theirs"), [("local", False, True), ("others", True, False), ("global", False, False)]
)
def test_a_sign_out_reaches_as_far_as_it_says(
    supabase: Running, email: str, scope: Any, mine: bool, theirs: bool
) -> None:
    with opened(supabase) as one, opened(supabase) as other:
        first = signed_up(one, email)
        second = other.auth.sign_in_with_password({"email": email, "password": PASSWORD}).session
        assert second
        one.auth.sign_out({"scope": scope})
        for kept, session in ((mine, first), (theirs, second)):
            with contextlib.nullcontext() if kept else pytest.raises(AuthApiError, match="session_id claim"):
                other.auth.get_user(session.access_token)


def test_an_administrator_creates_finds_bans_and_deletes(admin: Client, client: Client, email: str) -> None:
    made = admin.auth.admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True})
    session = client.auth.sign_in_with_password({"email": email, "password": PASSWORD}).session
    assert session
    assert email in {user.email for user in admin.auth.admin.list_users()}
    admin.auth.admin.update_user_by_id(made.user.id, {"ban_duration": "24h"})
    with pytest.raises(AuthApiError):
        client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    admin.auth.admin.delete_user(made.user.id)
    with pytest.raises(AuthApiError) as gone:
        client.auth.get_user(session.access_token)
    assert gone.value.code == "user_not_found"
    with pytest.raises(AuthApiError) as unknown:
        admin.auth.admin.delete_user(made.user.id)
    assert unknown.value.status == 404


def test_only_the_secret_key_administers(client: Client, email: str) -> None:
    session = signed_up(client, email)
    with pytest.raises(AuthApiError) as refused:
        client.auth.admin.delete_user(session.user.id)
    assert refused.value.status in (401, 403)


def test_the_state_outlives_the_process_in_a_file(tmp_path: Any, email: str) -> None:
    with Running(path=tmp_path / "auth.db") as running, opened(running) as client:
        token = signed_up(client, email).refresh_token
        kid = client.auth.get_claims()["headers"]["kid"]  # type: ignore[index]
    with Running(path=tmp_path / "auth.db") as running, opened(running) as client:
        assert client.auth.refresh_session(token).session
        assert client.auth.get_claims()["headers"]["kid"] == kid  # type: ignore[index]

"""Signing up, in and out; sessions; forms that others send; addresses that lead away. As a browser without a script."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import escape
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hosted.edge.rates import kind_of
from hosted.identity import device_codes
from hosted.identity.errors import IdentityUnavailable
from hosted.identity.supabase import SignInRefused, Supabase
from hosted.web.browser import outside, place_of, safe_next
from hosted.web.groups import groups
from hosted.web.sessions import _digest
from tests.hosted.identity.conftest import Running
from tests.hosted.web.conftest import PASSWORD, Visitor, shown
from tests.hosted.world import World, served

Make = Callable[..., Visitor]


def test_a_private_page_leads_to_sign_in_and_back(visitors: Make) -> None:
    me = visitors(signed_in=True)
    fresh = visitors()
    away = fresh.get("/memories?view=archived")
    assert away.status_code == 303
    page = fresh.get(away.headers["location"])
    assert 'value="/memories?view=archived"' in page.text
    back = fresh.post("/sign-in", email=me.email, password=PASSWORD, next="/memories?view=archived")
    assert (back.status_code, back.headers["location"]) == (303, "/memories?view=archived")
    assert fresh.get("/memories").status_code == 200


def test_a_wrong_password_is_told_and_nobody_is_signed_in(visitors: Make) -> None:
    me, other = visitors(signed_in=True), visitors()
    other.get("/sign-in")
    answer = other.post("/sign-in", email=me.email, password="wrong")
    assert answer.status_code == 422
    assert "do not fit together" in shown(answer)
    assert other.get("/memories").status_code == 303


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example/x", "/\\evil.example", "javascript:alert(1)", "/a\nb", "\\x", ""]
)
def test_nobody_is_sent_to_another_site(visitors: Make, wanted: str) -> None:
    assert safe_next(wanted) == "/memories"
    me = visitors(signed_in=True)
    assert me.get("/sign-in", params={"next": wanted}).headers["location"] == "/memories"


def test_a_program_may_name_its_own_address_and_nothing_that_runs_here() -> None:
    assert outside("cursor://back?code=1") == "cursor://back?code=1"
    assert outside("http://127.0.0.1:9/x") == "http://127.0.0.1:9/x"
    assert [outside(a) for a in ("javascript:alert(1)", "data:text/html,x", "", "/here", "file:///etc")] == [""] * 5


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://claude.ai/api/back", "claude.ai"),
        ("https://claude.ai@evil.example/", "evil.example"),
        ("http://localhost:3333/cb", "a program on this device"),
        ("https://[::1]/cb", "a program on this device"),
        ("cursor://claude.ai/cb", "cursor: on this device"),
        ("https:/evil.example/cb", ""),
        ("https:evil.example/cb", ""),
        ("https:///evil.example/cb", ""),
        ("https://evil.example\\@localhost/cb", ""),
        ("https://\u0441laude.ai/cb", ""),
        ("https://claude.ai%2eevil.example/cb", ""),
        ("https://evil.example\u3002x/cb", ""),
        ("https://[", ""),
    ],
)
def test_the_place_that_is_named_is_where_a_browser_goes(address: str, place: str) -> None:
    assert place_of(address) == place
    assert outside(address) == (address if place else "")


def test_a_form_that_no_page_of_this_session_sent_is_refused(visitors: Make) -> None:
    me, other = visitors(signed_in=True), visitors(signed_in=True)
    before = other.form_token
    for fields, headers in (
        ({}, {}), ({"csrf": "0" * 64}, {}), ({"csrf": before}, {}),
        ({"csrf": me.form_token}, {"origin": "https://evil.example"}),
        ({"csrf": me.form_token}, {"sec-fetch-site": "cross-site"}),
    ):  # fmt: skip
        answer = me.http.post("/memories/new", data={"content": "by another", **fields}, headers=headers)
        assert answer.status_code == 403, fields
        assert "opened too long ago" in shown(answer)
    assert me.post("/memories/new", content="by me").status_code == 303
    assert "by another" not in me.get("/memories").text


def test_every_form_is_checked(world: World, visitors: Make) -> None:
    """Each page that takes a form, found by looking at the routes, so that a new one can't be forgotten."""
    me = visitors(signed_in=True)
    from starlette.routing import Route

    forms = [r.path for r in world.app.router.routes
             if isinstance(r, Route) and r.methods == {"POST"} and r.endpoint.__module__ == "hosted.web.routing"]  # fmt: skip
    assert len(forms) > 20
    for path in forms:
        asked = path.replace("{id}", str(uuid.uuid4()))
        assert me.http.post(asked, data={"csrf": "no"}).status_code == 403, path


def test_a_form_for_who_is_not_known_counts_as_a_try_to_sign_in() -> None:
    forms = [declared for group in groups() for declared in group.declared if declared.method == "POST"]
    assert [d.path for d in forms if (kind_of("POST", d.path) == "sign_in") is d.private] == []


def test_the_session_is_a_name_that_no_script_reads_and_the_table_holds_no_token(world: World, visitors: Make) -> None:
    me = visitors()
    me.get("/sign-up")
    answer = me.post("/sign-up", email=me.email, password=PASSWORD)
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("jmem-session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    secret = cookie.partition("=")[2].partition(";")[0]
    rows = world.query("SELECT digest, sealed FROM jmem.web_sessions ORDER BY created_at DESC LIMIT 1")
    assert b"eyJ" not in bytes(rows[0]["sealed"])
    assert secret.encode() not in bytes(rows[0]["sealed"]) + bytes(rows[0]["digest"])


def test_private_pages_are_kept_nowhere_and_run_nothing_inline(visitors: Make) -> None:
    me = visitors(signed_in=True)
    for path in ("/memories", "/settings", "/connections", "/activity", "/", "/nowhere"):
        headers = me.get(path).headers
        assert headers["cache-control"] == "no-store", path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_signing_out_ends_the_session_here_and_at_supabase(world: World, supabase: Running, visitors: Make) -> None:
    me = visitors(signed_in=True)
    cookie = me.http.cookies["jmem-session"]
    assert sessions(supabase, me.email) == 1
    assert me.post("/sign-out").headers["location"] == "/sign-in"
    assert "You are signed out" in shown(me.get("/sign-in"))
    again = httpx.get(f"{world.url}/memories", cookies={"jmem-session": cookie})
    assert again.status_code == 303
    assert sessions(supabase, me.email) == 0


def sessions(supabase: Running, email: str) -> int:
    """How many somebody has at Supabase."""
    sql = "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email = ?"
    return len(supabase.double._context.store.all(sql, email))


def test_signing_out_everywhere_ends_other_browsers(visitors: Make) -> None:
    me, elsewhere = visitors(signed_in=True), visitors()
    elsewhere.get("/sign-in")
    elsewhere.post("/sign-in", email=me.email, password=PASSWORD)
    assert elsewhere.get("/memories").status_code == 200
    me.get("/devices")
    me.post("/sign-out", scope="global")
    assert elsewhere.get("/memories").status_code == 303


def test_who_signs_in_after_signing_out_everywhere_is_in(visitors: Make) -> None:
    me = visitors(signed_in=True)
    for began in (0.0, 0.3, 0.6):  # in whichever part of a second
        time.sleep((began - time.time()) % 1)
        me.get("/devices")
        assert me.post("/sign-out", scope="global").headers["location"] == "/sign-in"
        me.get("/sign-in")
        assert me.post("/sign-in", email=me.email, password=PASSWORD).headers["location"] == "/memories"
        assert me.get("/memories").status_code == 200


def test_when_a_browser_was_last_here_is_known_to_the_minute(world: World, visitors: Make) -> None:
    me, other = visitors(signed_in=True), visitors(signed_in=True)
    sql = "SELECT xmin::text, now() - used_at AS ago FROM jmem.web_sessions WHERE digest = $1"
    digest = _digest(me.http.cookies["jmem-session"])
    (fresh,) = world.query(sql, digest)
    assert me.get("/memories").status_code == 200
    assert world.query(sql, digest)[0]["xmin"] == fresh["xmin"], "nothing is written that was written a moment ago"
    world.query("UPDATE jmem.web_sessions SET used_at = now() - interval '2 hours'")
    assert "last here just now" in shown(me.get("/devices"))
    assert world.query(sql, digest)[0]["ago"] < timedelta(minutes=1)
    assert world.query(sql, _digest(other.http.cookies["jmem-session"]))[0]["ago"] > timedelta(hours=1)


def test_signing_out_everywhere_tells_what_could_not_be_done(
    world: World, visitors: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = visitors(signed_in=True)
    call = Supabase._call

    async def gone(self: Supabase, method: str, path: str, *given: Any, **named: Any) -> Any:
        if path == "/logout":
            raise SignInRefused(403, "session_not_found", "the session is gone")
        return await call(self, method, path, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Supabase, "_call", gone)
        assert me.post("/sign-out", scope="global").headers["location"] == "/sign-in"
    assert "could not be told to end your other sessions" in shown(me.get("/sign-in"))
    assert me.get("/memories").status_code == 303
    me.get("/sign-in")
    me.post("/sign-in", email=me.email, password=PASSWORD)
    me.get("/devices")
    me.post("/sign-out", scope="global")
    assert "You are signed out, in every browser" in shown(me.get("/sign-in"))


def test_what_a_machine_was_given_while_everybody_was_signed_out_counts_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = world.person()
    project, supabase = world.app.state.services.supabase, Supabase.sign_out
    between: list[str] = []

    async def slow(self: Supabase, access_token: str, scope: Any = "local") -> None:
        await asyncio.sleep(1.1)  # the machine asks once more before its session ends, and after the first note
        between.append((await project.refresh(me.refresh)).access_token)
        await supabase(self, access_token, scope)

    made = {"challenge": "c" * 43, "name": "laptop"}
    world.run(_allowed(world, me.user, **made))
    monkeypatch.setattr(Supabase, "sign_out", slow)
    me.must("POST", "/account/sign-out", {"scope": "global"})
    me.token = between[0]
    assert me.ask("GET", "/api/v1/account").status_code == 401
    assert world.query("SELECT 1 FROM jmem.device_codes WHERE user_id = $1", me.user) == []


async def _allowed(world: World, user: uuid.UUID, **named: str) -> None:
    async with world.app.state.backend.database.tenant(user) as conn:
        await device_codes.make(conn, user, **named)


def test_the_status_is_asked_and_a_sign_in_waits_for_nobody_twice(
    world: World, visitors: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, asked = visitors(), []
    me.get("/sign-in")

    async def away(self: Supabase, method: str, path: str, *given: Any, **named: Any) -> Any:
        asked.append(path)
        raise IdentityUnavailable("ConnectError")

    project = world.app.state.site.supabase
    monkeypatch.setattr(Supabase, "_call", away)
    assert me.get("/status").status_code == 503  # though what it offers is known still
    assert asked == ["/settings"]
    monkeypatch.setattr(project, "_offered_until", 0.0)
    assert [me.get("/sign-in").status_code for _ in range(3)] == [200] * 3
    assert asked == ["/settings"] * 2


def test_a_link_that_failed_says_nothing_that_stands_in_its_address(visitors: Make) -> None:
    answer = visitors().get("/auth/return/link", params={"error_description": "Call 555-0100 now"})
    assert answer.status_code == 400
    assert "555" not in answer.text


@pytest.mark.parametrize("address", ["http://[", "http://[::1/memories", "x"])
def test_whatever_page_a_browser_says_it_is_on(visitors: Make, address: str) -> None:
    answer = visitors().get("/memories", headers={"hx-request": "true", "hx-current-url": address})
    assert answer.headers["hx-redirect"].startswith("/sign-in?next=")


def test_a_new_password_signs_other_browsers_out_and_counts(visitors: Make) -> None:
    me, elsewhere = visitors(signed_in=True), visitors()
    elsewhere.get("/sign-in")
    elsewhere.post("/sign-in", email=me.email, password=PASSWORD)
    me.get("/settings/password")
    assert me.post("/settings/password", password="short").status_code == 422
    assert me.post("/settings/password", password="a whole new sentence").headers["location"] == "/settings"
    assert elsewhere.get("/memories").status_code == 303
    assert me.get("/memories").status_code == 200
    elsewhere.get("/sign-in")
    assert elsewhere.post("/sign-in", email=me.email, password=PASSWORD).status_code == 422
    assert elsewhere.post("/sign-in", email=me.email, password="a whole new sentence").status_code == 303


# ---- mails ------------------------------------------------------------------------------------


def follow(visitor: Visitor, link: str) -> httpx.Response:
    """What the mailed link leads to in this browser: the project's page, then ours."""
    away = httpx.get(link)
    back = urlsplit(away.headers["location"])
    return visitor.get(f"{back.path}?{back.query}")


def test_a_mailed_link_signs_in_the_browser_that_asked_and_no_other(supabase: Running, visitors: Make) -> None:
    me, thief = visitors(), visitors()
    me.get("/sign-in")
    assert me.email in shown(me.post("/sign-in/link", email=me.email))
    stolen = follow(thief, supabase.mail(me.email)["link"])
    assert stolen.status_code == 400
    assert "does not work here" in shown(stolen)
    assert thief.get("/memories").status_code == 303
    me.get("/sign-in")
    me.post("/sign-in/link", email=me.email)
    assert follow(me, supabase.mail(me.email)["link"]).headers["location"] == "/memories"
    assert me.get("/memories").status_code == 200


def test_a_mailed_code_signs_in_on_any_device_once(supabase: Running, visitors: Make) -> None:
    me, other = visitors(signed_in=True), visitors()
    other.get("/sign-in")
    other.post("/sign-in/link", email=me.email)
    code = supabase.mail(me.email)["token"]
    assert "used up" in shown(other.post("/sign-in/code", email=me.email, kind="link", code="000000"))
    assert other.post("/sign-in/code", email=me.email, kind="link", code=f"{code[:3]} {code[3:]}").status_code == 303
    again = visitors()
    again.get("/sign-in")
    assert again.post("/sign-in/code", email=me.email, kind="link", code=code).status_code == 422


def test_an_address_is_confirmed_by_the_link_where_the_project_asks_for_it(supabase: Running, visitors: Make) -> None:
    me = visitors()
    with supabase.with_settings(autoconfirm=False):
        me.get("/sign-up")
        assert "Look into your mail" in shown(me.post("/sign-up", email=me.email, password=PASSWORD))
        me.get("/sign-in")
        early = me.post("/sign-in", email=me.email, password=PASSWORD)
        assert "Look into your mail" in shown(early)
    assert follow(me, supabase.mail(me.email)["link"]).headers["location"] == "/welcome"


def test_a_forgotten_password(supabase: Running, visitors: Make) -> None:
    me, other = visitors(signed_in=True), visitors()
    other.get("/forgot")
    unknown = shown(other.post("/forgot", email="nobody@example.com"))
    known = shown(other.post("/forgot", email=me.email))
    assert unknown.replace("nobody@example.com", "X") == known.replace(me.email, "X")
    assert follow(other, supabase.mail(me.email)["link"]).headers["location"] == "/settings/password"


def test_another_address_counts_once_its_mail_was_answered(supabase: Running, visitors: Make) -> None:
    me, taken = visitors(signed_in=True), visitors(signed_in=True)
    new = f"new-{me.email}"
    me.get("/settings")
    assert "account with this address already" in shown(me.post("/settings/email", email=taken.email))
    assert me.post("/settings/email", email=new).status_code == 303
    assert new in shown(me.get("/settings"))
    assert follow(me, supabase.mail(new)["link"]).headers["location"] == "/settings"
    page = me.get("/settings").text
    assert "The address is changed" in page
    assert f'value="{new}"' in page
    assert me.post("/settings/name", name="Ada <b>").status_code == 303
    assert "Ada &lt;b&gt;" in me.get("/settings").text


def test_what_is_too_large_is_told_as_a_page(visitors: Make) -> None:
    me = visitors(signed_in=True)
    answer = me.post("/memories/new", content="x" * 3_000_000)
    assert answer.status_code == 413
    assert "That is too long" in shown(answer)


def test_too_many_requests_are_told_as_a_page(database_url: str, owner_url: str, supabase: Running) -> None:
    with served(database_url, owner_url, supabase, vectors=False, rate_read=6) as small:
        me = Visitor(small)
        me.sign_up()
        answers = [me.get("/timeline") for _ in range(8)]
        me.close()
    assert [answer.status_code for answer in answers][-1] == 429
    assert "Slowly, please" in shown(answers[-1])
    assert int(answers[-1].headers["retry-after"]) > 0


def test_another_account_signs_in_with_pkce(world: World, supabase: Running, visitors: Make) -> None:
    me = visitors()
    assert me.get("/sign-in/with/nobody").status_code == 404
    away = me.get("/sign-in/with/github?next=/timeline").headers["location"]
    asked = parse_qs(urlsplit(away).query)
    assert asked["code_challenge_method"] == ["s256"]
    provider = httpx.get(away, follow_redirects=True)
    state = parse_qs(provider.url.query.decode())["state"][0]
    done = httpx.post(str(provider.url), data={"state": state, "email": me.email, "action": "allow"})
    back = urlsplit(httpx.get(done.headers["location"]).headers["location"])
    assert me.get(f"{back.path}?{back.query}").headers["location"] == "/timeline"
    refused = visitors().get("/auth/return/provider?error=access_denied&error_description=The+user+%3Cb%3Edenied")
    assert refused.status_code == 400
    assert "<b>denied" not in refused.text


# ---- tokens -----------------------------------------------------------------------------------


def test_tokens_are_renewed_once_however_many_ask(
    world: World, supabase: Running, visitors: Make, monkeypatch: Any
) -> None:
    with supabase.with_settings(token_lifetime=30):  # shorter than what is renewed early
        me = visitors()
        me.get("/sign-up")
        me.post("/sign-up", email=me.email, password=PASSWORD)
    sessions, asked = world.app.state.site.sessions, []
    renew = sessions._renew

    async def counted(token: str) -> Any:
        asked.append(token)
        return await renew(token)

    monkeypatch.setattr(sessions, "_renew", counted)
    cookies = dict(me.http.cookies)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: httpx.get(f"{world.url}/memories", cookies=cookies, timeout=20).status_code, range(8))
        )
    assert answers == [200] * 8
    assert len(asked) == 1
    assert me.get("/memories").status_code == 200
    assert len(asked) == 1


def test_another_replica_waits_for_the_one_that_renews(world: World, supabase: Running, visitors: Make) -> None:
    import asyncio

    from hosted.web.sessions import WebSessions

    with supabase.with_settings(token_lifetime=30):
        me = visitors()
        me.get("/sign-up")
        me.post("/sign-up", email=me.email, password=PASSWORD)
    asked: list[str] = []
    site = world.app.state.site

    async def slow(token: str) -> Any:
        asked.append(token)
        await asyncio.sleep(0.3)
        return await site.supabase.refresh(token)

    async def both() -> list[str]:
        replicas = [WebSessions(site.backend.database, slow) for _ in range(2)]
        held = await asyncio.gather(*(one.find(me.http.cookies["jmem-session"]) for one in replicas))
        return [one.tokens.refresh_token for one in held]

    first, second = world.run(both())
    assert first == second
    assert len(asked) == 1


def test_a_session_that_ended_at_supabase_ends_here_with_its_token(supabase: Running, visitors: Make) -> None:
    with supabase.with_settings(token_lifetime=30):
        me = visitors()
        me.get("/sign-up")
        me.post("/sign-up", email=me.email, password=PASSWORD)
    supabase.double._context.store.run("DELETE FROM sessions")
    answer = me.get("/memories")
    assert answer.status_code == 303
    assert "You were signed out" in shown(me.get("/sign-in"))


@pytest.mark.parametrize(
    ("scope", "said"),
    [("local", "could not be told: your session stays"), ("global", "could not be told to end your other sessions")],
)
def test_one_can_sign_out_while_the_token_has_ended_and_supabase_is_away(
    world: World, visitors: Make, monkeypatch: pytest.MonkeyPatch, scope: str, said: str
) -> None:
    me = visitors(signed_in=True)
    cookie = me.http.cookies["jmem-session"]

    async def away(*_: Any, **__: Any) -> Any:
        raise IdentityUnavailable("ConnectError")

    def later() -> float:
        return time.time() + 7_200

    with monkeypatch.context() as patch:
        patch.setattr("hosted.web.sessions.time", SimpleNamespace(time=later, monotonic=time.monotonic))
        patch.setattr(world.app.state.identity._verifier, "_clock", later)
        patch.setattr(Supabase, "_call", away)
        assert me.get("/memories").status_code == 503
        assert me.http.post("/sign-out", data={"csrf": "0" * 64}).status_code == 403
        answer = me.post("/sign-out", scope=scope)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert "jmem-session" not in me.http.cookies
        assert said in shown(me.get("/sign-in"))
    assert world.query("SELECT 1 FROM jmem.web_sessions WHERE digest = $1", _digest(cookie)) == []
    assert httpx.get(f"{world.url}/memories", cookies={"jmem-session": cookie}).status_code == 303


# ---- errors -----------------------------------------------------------------------------------


def test_errors_help_people_and_stay_documents_for_programs(world: World, visitors: Make, monkeypatch: Any) -> None:
    me = visitors(signed_in=True)
    lost = me.get("/nowhere")
    assert lost.status_code == 404
    assert "There is nothing here" in shown(lost)
    assert me.get(f"/memories/{uuid.uuid4()}").status_code == 404
    assert me.http.get("/nowhere", headers={"accept": "application/json"}).json()["code"] == "no_route"
    assert me.http.get("/api/v1/nowhere").headers["content-type"] == "application/problem+json"

    monkeypatch.setattr("hosted.web.timeline.words.date", lambda *_: 1 / 0)
    me.post("/memories/new", content="something")
    failed = me.get("/timeline")
    assert failed.status_code == 500
    assert "Something broke on our side" in shown(failed)
    assert "division" not in failed.text
    assert failed.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


def test_supabase_away_is_told_as_not_now(world: World, visitors: Make, monkeypatch: Any) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise IdentityUnavailable("ConnectError")

    me = visitors()
    me.get("/sign-in")
    monkeypatch.setattr(world.app.state.site.supabase, "_call", away)
    answer = me.post("/sign-in", email="a@example.com", password="x" * 9)
    assert answer.status_code == 503
    assert "Nothing that you had saved is lost" in shown(answer)
    assert me.get("/status").status_code == 503
    assert "does not answer now" in shown(me.get("/status"))


def test_a_browser_shows_the_mails_of_the_double_as_a_list(world: World, visitors: Callable[..., Visitor]) -> None:
    me = visitors(signed_in=True)
    me.get("/forgot")
    me.post("/forgot", email=me.email)
    address = f"{world.supabase.url}/dev/mails"
    (mail,) = httpx.get(address, params={"to": me.email}).json()["mails"]
    page = httpx.get(address, params={"to": me.email}, headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert f'<a href="{escape(mail["link"])}">' in page.text
    assert f"<code>{mail['token']}</code>" in page.text

"""Every page as it is seen: accessible by axe, in light and dark, no wider than a phone, nothing logged as wrong."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import expect
from starlette.routing import Route

from tests.hosted.web.conftest import PASSWORD, Person, accessible
from tests.hosted.world import World

PUBLIC = ("/", "/privacy", "/support", "/status", "/sign-in", "/sign-up", "/forgot", "/goodbye", "/nowhere",
          "/auth/return/link?code=x", "/auth/return/provider?error=denied")  # fmt: skip
PRIVATE = ("/welcome", "/memories", "/memories/new", "/memories?view=deleted", "/timeline", "/review", "/conflicts", "/connections",
           "/connections/new", "/keys/new", "/activity", "/activity?view=changes", "/devices", "/settings",
           "/settings/password", "/settings/delete", "/export",
           f"/devices/new?challenge={'c' * 43}&state={'s' * 32}&port=40000&name=laptop")  # fmt: skip
FILLED = ("/welcome", "/memories", "/memories?view=deleted", "/timeline", "/connections", "/activity?view=changes", "/devices",
          "/settings/password")  # fmt: skip
"""Pages that look different once there is something."""
ELSEWHERE = {"/static/{name}", "/favicon.ico", "/robots.txt", "/auth/return/{flow}", "/sign-in/with/{provider}", "/oauth/consent",
             "/memories/{id}", "/memories/{id}/edit", "/conflicts/{id}", "/connections/{id}", "/connections/{id}/check", "/keys/{id}"}  # fmt: skip
"""Looked at by other tests, or no page."""


def look(me: Person, path: str) -> list[str]:
    """What is wrong with a page."""
    page = me.go(path)
    width = page.viewport_size["width"] if page.viewport_size else 0
    wide = page.evaluate("document.documentElement.scrollWidth")
    return [*accessible(page), *([f"{path} is {wide} wide"] if wide > width else [])]


def test_every_page_is_looked_at(world: World) -> None:
    ours = {r.path for r in world.app.router.routes if isinstance(r, Route) and r.endpoint.__module__.startswith("hosted.web")
            and "GET" in (r.methods or ())}  # fmt: skip
    assert (
        ours
        == {path.partition("?")[0] for path in (*PUBLIC, *PRIVATE)}
        - {"/nowhere", "/auth/return/link", "/auth/return/provider"}
        | ELSEWHERE
    )


def test_pages_for_everybody(somebody: Callable[..., Person]) -> None:
    bright = somebody(signed_in=False)
    dark = somebody(signed_in=False, color_scheme="dark", viewport={"width": 390, "height": 844})
    found = [wrong for path in PUBLIC for wrong in look(bright, path)]
    assert found + [wrong for path in PUBLIC[::3] for wrong in look(dark, path)] == []


def test_pages_of_a_new_account(somebody: Callable[..., Person]) -> None:
    me = somebody(viewport={"width": 390, "height": 844})
    assert [wrong for path in PRIVATE for wrong in look(me, path)] == []


def test_pages_of_an_account_in_use(somebody: Callable[..., Person]) -> None:
    me = somebody(color_scheme="dark")
    for text, tags in (
        ("I prefer aisle seats", "travel, seats"),
        ("x" * 900, "long"),
        ("أفضل المقاعد", "travel"),
        ("Gone soon", ""),
    ):
        me.remember(text, tags)
    page = me.go("/memories")
    page.get_by_role("button", name="Delete").first.click()
    page.locator(".toast").wait_for()
    assert accessible(page) == []
    address = page.get_by_role("link", name="More").first.get_attribute("href") or ""
    page.goto(f"{me.url}{address}/edit")
    page.get_by_label("Memory").fill("Changed")
    page.get_by_role("button", name="Save").click()
    page.goto(f"{me.url}/connections/new")
    page.get_by_text("What it may do: everything").click()
    assert accessible(page) == []
    page.get_by_role("button", name="Connect it").click()
    assert accessible(page) == []
    page.goto(f"{me.url}/keys/new")
    page.get_by_label("What is it for?").fill("A script")
    page.get_by_role("button", name="Make it").click()
    assert accessible(page) == []
    assert re.search(r"jmk_\w{40,}", page.content())
    page.goto(f"{me.url}/connections")
    more = [link.get_attribute("href") or "" for link in page.get_by_role("link", name="Change").all()]
    assert len(more) == 2
    page.goto(f"{me.url}/memories")
    page.get_by_label("Search your memories").fill("which seat")
    page.locator(".why summary").first.click()
    page.get_by_role("checkbox", name=re.compile("^Mark")).first.check()
    page.get_by_role("link", name="Edit").last.click()
    page.locator("article textarea").wait_for()
    assert accessible(page) == []
    wrong = [
        wrong for path in (*FILLED, address, f"{address}/edit", *more, f"{more[0]}/check") for wrong in look(me, path)
    ]
    assert wrong == []


def test_letting_a_program_in_and_shutting_it_out(world: World, somebody: Callable[..., Person]) -> None:
    me = somebody()
    auth = f"{world.supabase.url}/auth/v1"
    made = httpx.post(f"{auth}/oauth/clients/register", json={
        "client_name": "Notes <b>Robot</b>", "redirect_uris": ["http://127.0.0.1:9/back"], "token_endpoint_auth_method": "none",
    }).json()  # fmt: skip
    query = {"response_type": "code", "client_id": made["client_id"], "redirect_uri": "http://127.0.0.1:9/back", "state": "s",
             "code_challenge": "x" * 43, "code_challenge_method": "s256"}  # fmt: skip
    seen: list[str] = []
    me.context.route(
        "http://127.0.0.1:9/**", lambda route: (seen.append(route.request.url), route.fulfill(body="back"))
    )

    for decision, name in (("Refuse", "not let in"), ("Let it in", "let in")):
        away = httpx.get(f"{auth}/oauth/authorize", params=query).headers["location"]
        page = me.page
        page.goto(away)
        assert page.url.startswith(f"{me.url}/oauth/consent")
        expect(page.get_by_role("heading")).to_have_text("Let Notes <b>Robot</b> in?")
        expect(page.get_by_text("a program on this device")).to_be_visible()
        assert accessible(page) == []
        page.get_by_label("Delete memories").uncheck()
        page.get_by_role("button", name=decision).click()
        page.wait_for_url("http://127.0.0.1:9/back**")
        assert ("error=access_denied" in seen[-1]) == (decision == "Refuse"), name
        page = me.go("/connections")
        expect(page.locator(".list").filter(has_text="Robot")).to_have_count(0 if decision == "Refuse" else 1)
    expect(page.locator(".list")).to_contain_text("reads, writes")
    page.get_by_role("link", name="Change").click()
    page.get_by_role("button", name="Disconnect it").click()
    expect(page.get_by_role("heading", name="No program is connected")).to_be_visible()
    stale = me.page.request.get(f"{me.url}/oauth/consent?authorization_id=nothing")
    assert stale.status == 404


def test_shutting_a_machine_out(world: World, somebody: Callable[..., Person]) -> None:
    me = somebody(viewport={"width": 390, "height": 844})

    def machine(name: str) -> dict[str, str]:
        signed_in = httpx.post(
            f"{world.supabase.url}/auth/v1/token?grant_type=password", json={"email": me.email, "password": PASSWORD},
            headers={"apikey": world.supabase.settings.publishable_key},
        ).json()  # fmt: skip
        return {
            "authorization": f"Bearer {signed_in['access_token']}",
            "x-jmem-device": name,
            "x-jmem-device-name": name,
        }

    def pull(headers: dict[str, str]) -> httpx.Response:
        device = headers["x-jmem-device"]
        return httpx.get(f"{me.url}/api/v1/sync/pull", params={"device": device}, headers=headers)

    laptop, desk = machine("laptop"), machine("desk")
    assert [pull(each).status_code for each in (laptop, desk)] == [200, 200]
    world.settle()
    page = me.go("/devices")
    machines = page.locator("section").filter(has_text="Machines").get_by_role("listitem")
    expect(machines).to_have_count(2)
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.locator(".toast")).to_contain_text("That machine is shut out")
    expect(machines).to_have_count(1)
    expect(machines).to_contain_text("desk")
    assert (pull(laptop).status_code, pull(laptop).json()["code"]) == (401, "device_revoked")
    assert pull(desk).status_code == 200
    assert me.go("/memories").url == f"{me.url}/memories"
    page = me.go("/devices")
    page.get_by_role("button", name="Revoke desk").press("Enter")
    expect(page.get_by_role("heading", name="No machine syncs yet")).to_be_visible()


def test_what_a_program_writes_waits_for_review(world: World, somebody: Callable[..., Person]) -> None:
    me = somebody()
    page = me.go("/keys/new")
    page.get_by_label("What is it for?").fill("Untrusted")
    page.get_by_label("What it writes waits for me").check()
    page.get_by_role("button", name="Make it").click()
    key = page.locator("pre").inner_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    for text in ("The moon is cheese", "The sky is blue", "Water is wet"):
        added = httpx.post(f"{me.url}/api/v1/memories", json={"content": text}, headers=headers)
        assert added.status_code == 201, added.text
    page = me.go("/memories")
    assert me.texts() == []
    expect(page.get_by_role("link", name="Review 3 waiting")).to_be_visible()
    page = me.go("/review")
    assert accessible(page) == []
    page.locator(".card").filter(has_text="cheese").get_by_role("button", name="Reject").click()
    expect(page.locator(".toast")).to_contain_text("Rejected")
    expect(page.get_by_role("link", name="Review 2 waiting")).to_be_visible()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Accept all of it").click()
    expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    me.go("/memories")
    assert sorted(me.texts()) == ["The sky is blue", "Water is wet"]

"""What was written when a session ended, or another began, is on the page still, and is saved by whoever signs in."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.hosted.web.conftest import PASSWORD, Person, Visitor, accessible, shown
from tests.hosted.world import World

Somebody = Callable[..., Person]
LATER = "The ferry leaves at ten, and costs twelve"


def ends(world: World) -> None:
    """Every session is over, as after weeks away."""
    world.query("DELETE FROM jmem.web_sessions")


def test_a_session_that_ends_in_the_middle_of_an_edit_loses_no_text(somebody: Somebody, world: World) -> None:
    me = somebody(viewport={"width": 390, "height": 844})
    me.remember("The ferry leaves at nine", "ferry")
    page = me.go("/memories")
    page.get_by_role("link", name="Edit").click()
    page.locator(".card").get_by_label("Memory").fill(LATER)
    page.locator(".card").get_by_label("Tags").fill("ferry, prices")
    ends(world)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading")).to_have_text("This is not saved yet")
    expect(page.get_by_label("What you wrote")).to_have_value(LATER)
    expect(page.get_by_label("Tags")).to_have_value("ferry, prices")
    assert accessible(page) == []

    go_on = page.get_by_role("button", name="I am signed in: go on")
    go_on.click()  # too early: it is kept
    expect(page.get_by_label("What you wrote")).to_have_value(LATER)
    with me.context.expect_page() as opened:
        page.locator("main").get_by_role("link", name="Sign in").click()
    beside = me.watch(opened.value)
    beside.get_by_label("Email").fill(me.email)
    beside.get_by_label("Password", exact=True).fill(PASSWORD)
    beside.locator("button.primary").click()
    beside.wait_for_url("**/memories")
    go_on.click()
    expect(page.get_by_text("another session")).to_be_visible()
    assert accessible(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("Saved.")
    expect(page.locator("article .text")).to_have_text(LATER)
    expect(page.locator("article .meta")).to_contain_text("#prices")


def test_nor_does_one_without_a_script(somebody: Somebody, world: World) -> None:
    me = somebody(java_script_enabled=False)
    page = me.go("/memories/new")
    page.get_by_label("Memory").fill(LATER)
    page.get_by_label("Tags if you like").fill("ferry")
    ends(world)
    page.get_by_role("button", name="Remember it").click()
    expect(page.get_by_label("What you wrote")).to_have_value(LATER)
    me.sign_in()
    page.get_by_role("button", name="I am signed in: go on").click()
    page.get_by_role("button", name="Save").click()
    assert me.texts() == [LATER]


def test_a_newer_text_is_not_overwritten_by_what_was_kept(somebody: Somebody, world: World) -> None:
    me = somebody()
    me.remember("The ferry leaves at nine")
    page = me.go("/memories")
    page.goto(f"{me.url}{page.get_by_role('link', name='More').get_attribute('href')}/edit")
    page.get_by_label("Memory").fill(LATER)
    ends(world)
    me.sign_in()
    elsewhere = me.watch(me.context.new_page())
    elsewhere.goto(page.url)
    elsewhere.get_by_label("Memory").fill("The ferry is sold")
    elsewhere.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("another session")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("It was changed meanwhile")
    expect(page.get_by_label("Yours")).to_have_value(LATER)


def test_what_another_site_sends_is_never_shown_as_ones_own(visitors: Callable[..., Visitor], world: World) -> None:
    me = visitors()
    ours = {"origin": world.url, "sec-fetch-site": "same-origin"}
    for headers in (
        {},
        {"origin": "https://evil.example"},
        {**ours, "sec-fetch-site": "cross-site"},
        {"origin": "null"},
    ):
        answer = me.http.post("/memories/new", data={"content": "Send me money"}, headers=headers)
        assert answer.headers["location"].startswith("/sign-in"), headers
    answer = me.http.post("/memories/new", data={"content": "Mine <b>", "csrf": "x"}, headers=ours)
    assert (answer.status_code, "Mine <b>" in shown(answer)) == (401, True)
    assert re.search(r'name="csrf" value="x"', answer.text) is None
    assert me.http.post("/memories/new", data={"content": " "}, headers=ours).status_code == 303


def test_a_memory_that_was_deleted_meanwhile_comes_back_with_the_text(somebody: Somebody) -> None:
    me = somebody()
    me.remember("The ferry leaves at nine")
    page = me.go("/memories")
    address = page.get_by_role("link", name="More").get_attribute("href") or ""
    beside = me.watch(me.context.new_page())

    def written_while(do: str, start: str) -> None:
        page.goto(f"{me.url}{start}")
        if start == "/memories":
            page.get_by_role("link", name="Edit").click()
            page.locator(".card").get_by_label("Memory").fill(LATER)
        else:
            page.get_by_label("Memory").fill(LATER)
        beside.goto(me.url + address)
        if do.startswith("Forget"):
            beside.locator("summary", has_text=do).click()
        beside.get_by_role("button", name=do).click()
        beside.wait_for_url("**/memories**")
        expect(beside.locator(".toast")).to_be_visible()
        page.get_by_role("button", name="Save").click()

    for start in ("/memories", f"{address}/edit"):
        written_while("Delete", start)
        expect(page.get_by_role("alert")).to_contain_text("It was deleted meanwhile")
        assert accessible(page) == []
        if start == "/memories":
            page.locator(".card").get_by_label("Memory").fill("The key is sk-proj-" + "a1B2" * 12)
            page.get_by_role("button", name="Bring it back with this text").click()
            expect(page.get_by_role("alert").first).to_contain_text("The memory is back as it was")
            page.locator(".card").get_by_label("Memory").fill(LATER)
            page.get_by_role("button", name="Save").click()
        else:
            page.get_by_role("button", name="Bring it back with this text").click()
        expect(page.locator(".toast")).to_contain_text("Saved." if start == "/memories" else "Brought back.")
        expect(page.locator(".card, article").locator(".text").first).to_have_text(LATER)

    written_while("Forget it for ever", "/memories")
    expect(page.get_by_text("The memory is not in this account, or not any more")).to_be_visible()
    page.get_by_role("button", name="Remember it").click()
    page.wait_for_url("**/memories")
    assert me.texts() == [LATER]

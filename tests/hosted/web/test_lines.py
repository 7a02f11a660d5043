"""A line that is slow, cut or silent: nothing is done twice, nothing is lost, and one is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.hosted.web.conftest import Person

Somebody = Callable[..., Person]
AWAY = "The server can't be reached. What you wrote is still here"


def pressed_twice(page: Page, name: str) -> None:
    """A button, by somebody who does not wait."""
    button = page.get_by_role("button", name=name)
    button.scroll_into_view_if_needed()
    found = button.bounding_box()
    assert found
    page.mouse.click(found["x"] + 8, found["y"] + 8)
    page.wait_for_timeout(300)  # the first has been sent, and is not answered
    page.mouse.click(found["x"] + 8, found["y"] + 8)


def slowed(page: Page) -> None:
    """A line that takes its time."""
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000,
    })  # fmt: skip


def test_what_is_pressed_again_while_it_is_on_its_way_is_done_once(somebody: Somebody) -> None:
    me = somebody()
    page = me.page
    slowed(page)
    me.go("/keys/new")
    page.get_by_label("What is it for?").fill("Backups")
    pressed_twice(page, "Make it")
    expect(page.get_by_text("the key is shown this once")).to_be_visible()
    me.go("/connections/new")
    pressed_twice(page, "Connect it")
    expect(page.get_by_text("the address is shown this once")).to_be_visible()
    me.go("/connections")
    expect(page.get_by_role("link", name="Change")).to_have_count(2)
    me.go("/memories").get_by_text("Add a memory").click()
    page.get_by_label("Memory").fill("Once")
    pressed_twice(page, "Remember it")
    expect(page.locator(".card")).to_have_count(1)
    page.wait_for_timeout(1500)
    expect(page.locator(".toast")).to_have_count(1)


def test_a_form_that_was_stopped_or_come_back_to_is_sent_again(somebody: Somebody) -> None:
    me = somebody()
    page = me.go("/settings")
    page.get_by_label("Your name").fill("Mira")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("The name is saved")
    page.go_back()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Your name")).to_have_value("Ada")
    me.go("/export")
    for _ in range(2):
        with page.expect_download():
            page.get_by_role("button", name="Download").click()


def test_a_line_that_is_away_or_silent_is_told_once(somebody: Somebody) -> None:
    me = somebody()
    me.remember("The ferry leaves at nine")
    page = me.go("/memories")
    page.route("**/memories/find", lambda route: route.abort())
    for words in ("ferry", "ferry leaves", "when does the ferry leave"):
        with page.expect_event("requestfailed"):
            page.get_by_label("Search your memories").fill(words)
    expect(page.locator(".toast")).to_have_count(1)
    expect(page.locator(".toast")).to_contain_text(AWAY)
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator(".toast")).to_have_count(0)

    held: list[Any] = []
    page.route("**/edit", lambda route: _held(route, held))
    page.get_by_role("link", name="Edit").click()
    page.locator(".card").get_by_label("Memory").fill("It leaves at ten")
    page.evaluate("htmx.config.timeout = 300")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text(AWAY)
    expect(page.locator(".card").get_by_label("Memory")).to_have_value("It leaves at ten")
    me.problems[:] = [said for said in me.problems if "ERR_FAILED" not in said and "htmx:" not in said]


def _held(route: Route, held: list[Any]) -> None:
    if route.request.method == "POST":
        held.append(route)
    else:
        route.continue_()

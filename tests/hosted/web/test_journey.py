"""The whole way of one person, in a browser and with the unmodified MCP client, and of another who sees nothing of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import Page, expect

from tests.hosted.web.conftest import Person, aside
from tests.hosted.world import World

MEMORY = "My library card in Ghent ends in 4711"


def search(url: str, query: str) -> Callable[[], Any]:
    """The question, as a program asks it over MCP."""

    async def run() -> Any:
        async with (
            streamable_http_client(url) as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.call_tool("search_memory", {"query": query})

    return run


def address_shown(page: Page) -> str:
    found = re.search(r"http://[^\s\"]+/mcp/cursor/http/jmc_\w+", page.locator("pre").first.inner_text())
    assert found
    return found[0]


def test_from_the_front_page_to_the_end(world: World, somebody: Callable[..., Person]) -> None:
    me, other = somebody(signed_in=False), somebody()
    page = me.go("/")
    page.get_by_role("link", name="Start here").click()
    page.get_by_label("Email").fill(me.email)
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.get_by_role("button", name="Sign up").click()

    page.get_by_label("Memory").fill(MEMORY)
    page.get_by_role("button", name="Remember it").click()
    expect(page.get_by_role("heading", name="You have 1 memory")).to_be_visible()

    page.get_by_role("radio", name=re.compile("Cursor")).check(force=True)
    page.get_by_role("button", name="Connect it").click()
    url = address_shown(page)
    expect(page.get_by_text("Waiting for its first call")).to_be_visible()

    answer = aside(search(url, "where is my library card"))
    assert not answer.is_error
    assert MEMORY in str(answer.structured_content)
    expect(page.get_by_text("It works.")).to_be_visible()  # lights up by itself
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_role("heading", name="All set")).to_be_visible()

    page.get_by_role("link", name="See what it asked").click()
    row = page.locator("#activity li").filter(has_text="where is my library card")
    expect(row).to_contain_text("cursor")
    row.get_by_text("1 memory").click()
    expect(row).to_contain_text(MEMORY)

    page.goto(f"{me.url}/connections")
    assert "jmc_" in page.content()
    assert url.rpartition("/")[2] not in page.content()  # shown once
    expect(page.locator(".list").first).to_contain_text("just now")

    for path in (
        "/memories",
        "/activity",
        "/activity?view=changes",
        "/connections",
        "/timeline",
        "/devices",
        "/export",
    ):
        assert "Ghent" not in other.go(path).content(), path
        assert "jmc_" not in other.page.content(), path

    page.goto(f"{me.url}/settings/delete")
    expect(page.get_by_text("1 memory, with their whole history")).to_be_visible()
    page.get_by_label("Type your address").fill("somebody@example.com")
    page.get_by_role("button", name="Delete the account for ever").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was deleted")
    page.get_by_label("Type your address").fill(me.email)
    page.get_by_role("button", name="Delete the account for ever").click()
    expect(page.get_by_role("heading", name="Your account is deleted")).to_be_visible()
    expect(page.get_by_text("Everything is gone")).to_be_visible(timeout=30_000)

    page.goto(f"{me.url}/memories")
    assert "/sign-in" in page.url
    assert httpx.post(url, json={}).status_code in (401, 404, 410)
    page.get_by_label("Email").fill(me.email)
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")


def test_two_people_in_two_browsers(somebody: Callable[..., Person]) -> None:
    ada, bob = somebody(), somebody()
    ada.remember("Ada keeps bees", "bees")
    bob.remember("Bob keeps goats", "goats")
    ada.go("/memories")
    assert ada.texts() == ["Ada keeps bees"]
    address = ada.page.get_by_role("link", name="More").get_attribute("href")
    bob.go("/memories")
    assert bob.texts() == ["Bob keeps goats"]
    bob.page.get_by_label("Search your memories").fill("who keeps bees")
    bob.page.get_by_text(re.compile("found|nearest")).wait_for()
    assert "bees" not in bob.page.locator("#results").inner_text()
    expect(bob.page.get_by_role("group", name="Tags")).not_to_contain_text("bees")

    assert bob.page.request.get(f"{bob.url}{address}").status == 404  # with Bob's cookies
    assert ada.page.request.get(f"{ada.url}{address}").status == 200
    token = bob.go("/memories/new").locator("input[name=csrf]").first.get_attribute("value") or ""
    for path, form in ((f"{address}/act", {"do": "delete"}), (f"{address}/edit", {"content": "mine now"}),
                       (f"{address}/restore", {"rev": "1"})):  # fmt: skip
        assert bob.page.request.post(f"{bob.url}{path}", form={"csrf": token, **form}).status == 404, path
    ada.go("/memories")
    assert ada.texts() == ["Ada keeps bees"]

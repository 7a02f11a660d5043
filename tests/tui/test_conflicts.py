"""Texts written apart: the list, both side by side, and each way to settle one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Static

from bench.home import Api, Home
from jmem.core.model import Op, new_nonce
from jmem.tui.screens.conflicts import ConflictsPage, Writing
from jmem.tui.widgets.writing import WriteArea
from tests.tui.conftest import Open, emptied, texts, until

LIVE, KEPT = "first: deploys run on Mondays", "first: deploys run on Tuesdays"


@pytest.fixture(scope="module")
def home(daemon: Home) -> Home:
    return daemon


@pytest.fixture
def api(home: Home) -> Iterator[Api]:
    yield from emptied(home)


@pytest.fixture
def id(api: Api) -> str:
    return apart(api, LIVE, KEPT)


def apart(api: Api, live: str, kept: str) -> str:
    """A memory whose text was changed here and, as an import tells, elsewhere."""
    id = str(api.add("first: deploys run")["id"])
    first = api.must("GET", f"/memories/{id}/history")["revisions"][0]
    records = [json.loads(line) for line in api.call("GET", "/api/v1/export?history=true").raw.splitlines()]
    (record,) = [one for one in records if one.get("id") == id]
    other = Op(
        first["stamp"][:-8] + "ffffffff", id, {"content": kept}, (first["stamp"],), "claude", new_nonce()
    ).sealed()
    api.must("PATCH", f"/memories/{id}", {"content": live})
    record["ops"].append(json.loads(other.text()))
    api.must("POST", "/import", {"items": [record]})
    (conflict,) = api.must("GET", f"/conflicts?id={id}")["conflicts"]
    assert [version["content"] for version in conflict["versions"]] == [live, kept]
    return id


async def at_conflicts(pilot: Pilot[None], count: int) -> ConflictsPage:
    await pilot.press("enter", "C")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConflictsPage))
    page = pilot.app.screen
    assert isinstance(page, ConflictsPage)
    await until(pilot, lambda: len(page.rows.items) == count)
    return page


def side(pilot: Pilot[None], name: str) -> str:
    return str(pilot.app.screen.query_one(f"#{name}", VerticalScroll).query_one(Static).content)


def contents(api: Api) -> list[str]:
    return sorted(memory["content"] for memory in api.every())


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (30, 8)])
async def test_both_are_shown_side_by_side(home: Home, id: str, opened: Open, size: tuple[int, int]) -> None:
    async with opened(home, size) as pilot:
        await at_conflicts(pilot, 1)
        await until(pilot, lambda: (side(pilot, "left"), side(pilot, "right")) == (LIVE, KEPT))
        places = [
            str(pilot.app.screen.query_one(f"#{name}", VerticalScroll).border_subtitle) for name in ("left", "right")
        ]
        assert ["this machine" in places[0], "imported" in places[1]] == [True, True], places
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ConflictsPage))


@pytest.mark.parametrize(("key", "left"), [("l", [LIVE]), ("r", [KEPT]), ("b", [LIVE, KEPT])])
async def test_a_key_settles_it_and_undo_takes_it_back(
    home: Home, api: Api, id: str, opened: Open, key: str, left: list[str]
) -> None:
    async with opened(home) as pilot:
        page = await at_conflicts(pilot, 1)
        await pilot.press(key)
        await until(pilot, lambda: not page.rows.items and "No text was written apart" in texts(pilot))
        assert contents(api) == left
        assert api.must("GET", "/conflicts")["conflicts"] == []
        await pilot.press("u")
        await until(pilot, lambda: contents(api) == [LIVE])


async def test_one_text_is_written_in_the_place_of_both(home: Home, api: Api, id: str, opened: Open) -> None:
    async with opened(home) as pilot:
        page = await at_conflicts(pilot, 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Writing))
        area = pilot.app.screen.query_one(WriteArea)
        assert area.content == f"{LIVE}\n\n{KEPT}"
        area.text = "first: deploys run every day"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not page.rows.items and pilot.app.screen is page)
        assert contents(api) == ["first: deploys run every day"]


async def test_what_is_settled_elsewhere_goes_away(home: Home, api: Api, id: str, opened: Open) -> None:
    async with opened(home) as pilot:
        page = await at_conflicts(pilot, 1)
        api.must("POST", f"/conflicts/{id}", {"how": "keep", "version": "2"})
        await until(pilot, lambda: not page.rows.items)


async def test_more_than_one_answer_holds(home: Home, api: Api, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "deploys run, and then some. " * 2_000
    ids = [apart(api, f"{n} live: {long}", f"{n} kept: {long}") for n in range(6)]
    assert len(api.must("GET", "/conflicts?limit=6")["conflicts"]) < 6
    assert api.must("GET", "/sync")["conflicts"] == 6
    async with opened(home) as pilot:
        page = await at_conflicts(pilot, 6)
        assert {one["memory"]["id"] for one in page.rows.items} == set(ids)
        assert "6 with texts written apart" in str(page.query_one("#apart").border_title)
        monkeypatch.setattr("jmem.tui.screens.conflicts.MANY", 2)
        page.reload()
        await until(pilot, lambda: len(page.rows.items) == 2)
        assert "6 with texts written apart; the first 2" in str(page.query_one("#apart").border_title)

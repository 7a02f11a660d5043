"""The list as it stood at a moment: what was there then, nothing that can be changed, and the way back to now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from bench.home import Api, Home, wait_for
from jmem.core.model import now_iso
from jmem.tui.screens.ask import Line
from jmem.tui.screens.base import Place
from jmem.tui.screens.history import HistoryPage
from jmem.tui.screens.reader import Reader
from jmem.tui.view import View
from jmem.tui.widgets.facets import Facets
from tests.tui.conftest import Open, texts, until
from tests.tui.test_memories import results, to_list, toasts, told


@pytest.fixture
def api(daemon: Home) -> Iterator[Api]:
    with contextlib.closing(daemon.api(client="cursor")) as made:
        yield made


def moment() -> str:
    """Now, with nothing else that happened within it."""
    at = now_iso()
    wait_for(lambda: now_iso() > at)
    return at


async def back_to(pilot: Pilot[None], words: str) -> None:
    await to_list(pilot)
    await pilot.press("v")
    await until(pilot, lambda: isinstance(pilot.app.screen, Line))
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")


def contents(pilot: Pilot[None]) -> list[str]:
    return [memory["content"] for memory in results(pilot).rows.values()]


async def test_what_was_there_then(daemon: Home, api: Api, opened: Open) -> None:
    kept, gone = api.add("The kettle as it was"), api.add("Thrown away later")
    then = moment()
    api.must("PATCH", f"/memories/{kept['id']}", {"content": "The kettle as it is"})
    api.must("DELETE", f"/memories/{gone['id']}")
    api.add("Not there yet")
    async with opened(daemon, (140, 40)) as pilot:
        await until(pilot, lambda: "The kettle as it is" in contents(pilot))
        await back_to(pilot, then)
        await until(pilot, lambda: contents(pilot) == ["Thrown away later", "The kettle as it was"])
        assert "As it stood on" in texts(pilot)
        assert "read only" in texts(pilot)
        for key in ("d", "e", "E", "t", "x", "p", "r", "a", "ctrl+d"):
            pilot.app.clear_notifications()
            await pilot.press(key)
            await told(pilot, "nothing can be changed here")
            assert isinstance(pilot.app.screen, Place)
        assert "d Delete" not in texts(pilot)

        api.add("Written while one looks back")
        await pilot.press("slash", *"kettle")
        await until(pilot, lambda: "found" in texts(pilot) and "The kettle as it was" in contents(pilot))
        assert "The kettle as it is" not in contents(pilot)
        assert "Written while one looks back" not in contents(pilot)

        await pilot.press("ctrl+u", "enter")
        await until(pilot, lambda: "newest first" in texts(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "Written while one looks back" in contents(pilot))
        assert "As it stood on" not in texts(pilot)
        assert {"The kettle as it is", "Not there yet"} <= set(contents(pilot))


async def test_a_memory_is_read_as_it_was_and_stays_so(daemon: Home, api: Api, opened: Open) -> None:
    memory = api.add("Read as it was")
    then = moment()
    async with opened(daemon) as pilot:
        await back_to(pilot, then)
        await until(pilot, lambda: contents(pilot)[:1] == ["Read as it was"] and "read only" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        api.must("PATCH", f"/memories/{memory['id']}", {"content": "Read as it is"})
        await pilot.press("d", "e", "t", "x")
        await pilot.pause(0.5)
        assert isinstance(pilot.app.screen, Reader)
        assert "Read as it was" in texts(pilot)
        assert "e Edit" not in texts(pilot)
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, HistoryPage))
    assert api.must("GET", f"/memories/{memory['id']}")["content"] == "Read as it is"


async def test_the_filters_lead_there_and_back(daemon: Home, api: Api, opened: Open) -> None:
    api.add("Filtered by time")
    async with opened(daemon, (140, 40)) as pilot:
        await to_list(pilot)
        facets = pilot.app.screen.query_one(Facets)
        facets.focus()
        facets.highlighted = facets.get_option_index("as of:another moment…")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        await pilot.press(*"yesterday", "enter")
        await until(pilot, lambda: "Nothing fits" in texts(pilot) and "read only" in texts(pilot))
        facets = pilot.app.screen.query_one(OptionList)
        facets.focus()
        facets.highlighted = facets.get_option_index("as of:now")
        await pilot.press("enter")
        await until(pilot, lambda: "Filtered by time" in contents(pilot))
        assert "read only" not in texts(pilot)


async def test_a_moment_that_is_none_is_told(daemon: Home, api: Api, opened: Open) -> None:
    api.add("Still now")
    async with opened(daemon) as pilot:
        for words, why in (("tomorrow", "in the future"), ("a banana", "not a date")):
            pilot.app.clear_notifications()
            await back_to(pilot, words)
            await until(pilot, lambda why=why: why in toasts(pilot))  # type: ignore[misc]
        assert pilot.app.screen.view == View()  # type: ignore[attr-defined]

"""The keys of a place, and the palette that finds any action."""

from __future__ import annotations

import contextlib

import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Input

from bench.home import Home
from jmem.tui.actions import ACTIONS
from jmem.tui.palette import Palette, fits
from jmem.tui.prefs import Prefs
from jmem.tui.screens.activity import ActivityPlace
from jmem.tui.screens.help import Help, lines
from jmem.tui.screens.status import StatusPlace
from jmem.tui.widgets.keybar import KeyBar
from tests.tui.conftest import Open, texts, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def some(daemon: Home) -> Home:
    with contextlib.closing(daemon.api()) as api:
        api.add("The first of all")
    return daemon


async def at(pilot: Pilot[None], mode: str, place: type) -> None:
    await pilot.app.run_action(f"app.tab('{mode}')")
    await until(pilot, lambda: isinstance(pilot.app.place, place))


async def test_the_keys_of_this_place_come_first(some: Home, opened: Open):
    async with opened(some) as pilot:
        await at(pilot, "activity", ActivityPlace)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, Help))
        shown = texts(pilot)
        assert shown.index("Hold the stream still") < shown.index("Everywhere")
        await pilot.press(*"log")
        await until(pilot, lambda: "Go to the log" in texts(pilot))
        assert "Hold the stream still" not in texts(pilot)
        await pilot.press("down", "pagedown", "up", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ActivityPlace))


async def test_every_action_is_in_the_help_with_the_keys_of_the_person(some: Home, opened: Open):
    async with opened(some, prefs=Prefs(keys={"memories.edit": "f9"})) as pilot:
        found = lines(pilot.app, ["memories"])
        assert {action.title for action in ACTIONS} <= {key.title for key in found}
        assert next(key.keys for key in found if key.title == "Edit") == "f9"
        assert lines(pilot.app, ["memories"], "no such thing at all") == []


async def test_help_while_one_writes(some: Home, opened: Open):
    async with opened(some) as pilot:
        pilot.app.screen.query_one("#question").focus()
        await pilot.press("question_mark")
        assert pilot.app.screen.query_one("#question", Input).value == "?"
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, Help))
        await pilot.press("f1")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Help))


async def test_the_palette_lists_what_can_be_done_here_and_does_it(some: Home, opened: Open):
    async with opened(some) as pilot:
        await at(pilot, "activity", ActivityPlace)
        await pilot.press("ctrl+p")
        await until(
            pilot,
            lambda: isinstance(pilot.app.screen, Palette) and pilot.app.screen.query_one(CommandList).option_count,
        )
        await until(pilot, lambda: "Hold the stream still" in texts(pilot))
        await pilot.press(*"status")
        await until(pilot, lambda: "See how the daemon" in texts(pilot) and "Hold the stream" not in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.place, StatusPlace))
        assert not isinstance(pilot.app.screen, Palette)


async def test_the_palette_runs_what_a_letter_would_not_while_one_writes(some: Home, opened: Open):
    async with opened(some) as pilot:
        pilot.app.screen.query_one("#question").focus()
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
        await pilot.press(*"sort")
        await until(pilot, lambda: "Sort by added" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "last changed first" in texts(pilot))


async def test_a_theme_by_its_name(some: Home, opened: Open):
    async with opened(some) as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
        await pilot.press(*"theme li")
        await until(pilot, lambda: "Theme light" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.theme == "light")


async def test_names_come_before_descriptions(some: Home, opened: Open):
    async with opened(some) as pilot:
        assert lines(pilot.app, ["review"], "undo")[1].title == "Undo"
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
        await pilot.press(*"restart")
        await until(pilot, lambda: "in Status" in texts(pilot) and "in Settings" in texts(pilot))
        assert "Similar" not in texts(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.place, StatusPlace))


@pytest.mark.parametrize(
    ("query", "title", "help", "least", "most"),
    [("rest", "Restart", "", 0.9, 1), ("all approve", "Approve all", "", 0.9, 0.9), ("backup", "Make", "a backup now", 0.6, 0.6),
     ("backu", "Make", "a backup now", 0, 0), ("restart", "Similar", "Memories that say nearly the same", 0, 0), (" ", "A", "b", 0, 0)],
)  # fmt: skip
def test_what_a_question_names(query: str, title: str, help: str, least: float, most: float):
    assert least <= fits(query, title, help) <= most


async def test_the_top_bar_has_the_keys_of_the_person(some: Home, opened: Open):
    async with opened(some, (80, 24), prefs=Prefs(keys={"app.activity": "f2"})) as pilot:
        assert "1 Memories  f2 Activity" in texts(pilot)
        assert "6 Settings" in texts(pilot)


async def test_under_a_dialog_no_key_is_named_that_does_nothing_there(opened: Open, some: Home) -> None:
    async with opened(some) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        await until(pilot, lambda: "Add" in str(bar.render()))
        for key in ("f1", "ctrl+p"):
            await pilot.press(key)
            await until(pilot, lambda: bar.screen is not pilot.app.screen)
            await until(pilot, lambda: "Back" in texts(pilot).splitlines()[-1])
            assert str(bar.render()).strip() == "esc Back"
            await pilot.press("escape")
            await until(pilot, lambda: "Add" in texts(pilot).splitlines()[-1])

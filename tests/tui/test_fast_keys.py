"""Keys that come faster than the interface: typed ahead, held down, or pasted."""

from __future__ import annotations

import gc

import pytest
from textual import events
from textual._styles_cache import StylesCache
from textual.widget import Widget

from bench.home import Home
from jmem.tui.inorder import STUCK_S
from jmem.tui.palette import Palette
from jmem.tui.screens.base import Dialog
from jmem.tui.screens.confirm import Answer, Choice
from jmem.tui.screens.status import StatusPlace
from jmem.tui.widgets.question import Question
from tests.tui.conftest import Open, texts, until


@pytest.fixture(scope="module")
def some(full: Home) -> Home:
    return full


ANSWERS = (Answer("yes", "Yes", "y"), Answer("no", "No", "n"))


async def test_a_question_is_answered_once(some: Home, opened: Open) -> None:
    given: list[str | None] = []
    async with opened(some) as pilot:
        app = pilot.app
        below, above = Choice("Below?", "", ANSWERS), Choice("Above?", "", ANSWERS)
        app.push_screen(below, given.append)
        await app.push_screen(above, given.append)
        above.dismiss("yes")
        above.dismiss("no")
        await until(pilot, lambda: given)
        assert app.screen is below
        await pilot.press("y", "y", "enter", "escape")
        await until(pilot, lambda: not isinstance(app.screen, Dialog))
        below.dismiss("no")
        await pilot.pause()
        assert given == ["yes", "yes"]


async def test_a_dialog_that_leaves_takes_what_stands_above_with_it(some: Home, opened: Open) -> None:
    given: list[str | None] = []
    async with opened(some) as pilot:
        app = pilot.app
        below, above = Choice("Below?", "", ANSWERS), Choice("Above?", "", ANSWERS)
        app.push_screen(below, given.append)
        await app.push_screen(above, given.append)
        below.dismiss("yes")
        await until(pilot, lambda: len(given) == 2)
        assert not isinstance(app.screen, Dialog)
        assert set(given) == {"yes", None}


async def test_the_palette_chooses_once(some: Home, opened: Open) -> None:
    async with opened(some) as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
        await pilot.press(*"status", "enter")
        for _ in range(5):
            pilot.app.post_message(events.Key("enter", "\r"))
        await until(pilot, lambda: isinstance(pilot.app.screen, StatusPlace))


async def test_a_key_while_the_interface_ends_is_dropped(some: Home, opened: Open) -> None:
    async with opened(some) as pilot:
        pilot.app.exit()
        for _ in range(50):
            pilot.app.post_message(events.Key("x", "x"))


async def test_what_is_typed_ahead_goes_where_it_was_meant_to(home: Home, opened: Open) -> None:
    home.start()
    home.jmem("add", "The kettle is descaled every March")
    async with opened(home) as pilot:
        await pilot.press("down", "enter", "escape")
        for key in ("a", *"dead", "ctrl+s"):
            pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: "dead" in texts(pilot) and not isinstance(pilot.app.screen, Dialog))
        assert "The kettle is descaled" in texts(pilot)


async def test_a_thousand_keys_at_once(some: Home, opened: Open) -> None:
    async with opened(some) as pilot:
        for key in "abcde" * 200:
            pilot.app.post_message(events.Key(key, key))
        question = pilot.app.screen.query_one(Question)
        await until(pilot, lambda: question.value == "abcde" * 200)


async def test_a_dialog_that_is_gone_leaves_nothing_behind(some: Home, opened: Open) -> None:
    async with opened(some, (140, 40)) as pilot:
        await pilot.press("enter")
        for _ in range(5):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, Dialog))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Dialog))
        await pilot.pause(STUCK_S + 0.1)  # as long as a key that opened one is held
        gc.collect()
        nodes = [node for place in pilot.app.screen_stack for node in place.walk_children(with_self=True)]
        shown = {id(node._styles_cache) for node in nodes if isinstance(node, Widget)}
        gone = [one for one in gc.get_objects() if isinstance(one, StylesCache) and id(one) not in shown]
        assert len(gone) <= 4, "what five dialogs drew is still held"

"""Undo and redo in the interface: own changes at once, those of others after a look."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from textual.widgets import Input

from bench.home import Api, Home
from jmem.tui.prefs import Prefs
from jmem.tui.screens.help import Help
from jmem.tui.screens.memories import MemoriesPlace
from jmem.tui.screens.reader import Reader
from jmem.tui.screens.undo import UndoPreview
from tests.tui.conftest import Open, texts, until
from tests.tui.test_memories import on_top, results, to_list, toasts, told


@pytest.fixture
def cursor(daemon: Home) -> Iterator[Api]:
    """Another program."""
    with contextlib.closing(daemon.api(client="cursor")) as made:
        yield made


async def test_what_another_program_did_is_shown_before_it_is_taken_back(
    daemon: Home, cursor: Api, opened: Open
) -> None:
    memory = cursor.add("I like tea with milk", tags=["drinks"])
    cursor.must("PATCH", f"/memories/{memory['id']}", {"content": "I like coffee with milk", "tags": ["drinks", "new"]})
    async with opened(daemon) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
        shown = texts(pilot)
        assert "by cursor: edit" in shown
        assert "- I like coffee with milk" in shown
        assert "+ I like tea with milk" in shown
        assert "drinks, new → drinks" in shown
        await pilot.press("enter")  # the first answer leaves it
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        assert cursor.must("GET", f"/memories/{memory['id']}")["content"] == "I like coffee with milk"
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
        await pilot.press("y")
        await told(pilot, "Undone: “I like coffee with milk” as before: text, tags")
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "I like tea with milk")
        await until(pilot, lambda: "tea" in texts(pilot))
        await pilot.press("U")
        await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
        assert "by cursor" in texts(pilot)
        await pilot.press("y")
        await told(pilot, "Done again")
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "I like coffee with milk")


async def test_what_came_after_the_look_is_left_alone(daemon: Home, cursor: Api, opened: Open) -> None:
    first = cursor.add("the first of cursor")
    async with opened(daemon) as pilot:
        await on_top(pilot, first["id"])
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
        second = cursor.add("the second of cursor, while one looks")
        await pilot.press("y")
        await told(pilot, "“the first of cursor” is deleted")
    assert cursor.call("GET", f"/api/v1/memories/{first['id']}").body["deleted"] is True
    assert cursor.must("GET", f"/memories/{second['id']}")["deleted"] is False


async def test_own_changes_are_taken_back_in_order(daemon: Home, opened: Open) -> None:
    with contextlib.closing(daemon.api(client="tui")) as tui:
        made = tui.add("mine")
        for number in range(4):
            tui.must("PATCH", f"/memories/{made['id']}", {"content": f"mine {number}"})
        async with opened(daemon) as pilot:
            await on_top(pilot, made["id"])
            await pilot.press("u", "u", "u")
            await until(pilot, lambda: results(pilot).rows[0]["content"] == "mine 0")
            await told(pilot, "U does it again")
            await pilot.press("U")
            await until(pilot, lambda: results(pilot).rows[0]["content"] == "mine 1")
            await told(pilot, "“mine 0” as before: text\nu takes it back")


async def test_what_was_changed_since_stays_and_is_told(daemon: Home, opened: Open) -> None:
    """An undo of an edit that somebody has edited over since has nothing to take back."""
    with contextlib.closing(daemon.api(client="tui")) as tui, contextlib.closing(daemon.api(client="zed")) as zed:
        made = tui.add("base")
        async with opened(daemon) as pilot:
            await on_top(pilot, made["id"])
            await pilot.press("d")
            await told(pilot, "Deleted")
            zed.must("POST", f"/memories/{made['id']}/restore", {})
            zed.must("PATCH", f"/memories/{made['id']}", {"content": "base, by zed"})
            await until(pilot, lambda: results(pilot).rows[0]["content"] == "base, by zed")
            await pilot.press("u")
            await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
            assert "by zed" in texts(pilot)


async def test_undo_and_redo_by_other_keys_and_with_nothing_to_do(home: Home, opened: Open) -> None:
    home.start()
    with contextlib.closing(home.api(client="tui")) as tui:
        made = tui.add("only one")
        async with opened(home, prefs=Prefs(keys={"app.undo": "f8", "app.redo": "f9"})) as pilot:
            await to_list(pilot)
            await pilot.press("f9")
            await told(pilot, "There is nothing to do again")
            await pilot.press("f8")
            await told(pilot, "Undone: “only one” is deleted\nf9 does it again")
            await pilot.press("f8")
            await told(pilot, "There is nothing to undo")
            await pilot.press("f9")
            await told(pilot, "f8 takes it back")
        assert tui.must("GET", f"/memories/{made['id']}")["deleted"] is False


async def test_a_daemon_that_is_killed_while_one_looks(home: Home, opened: Open) -> None:
    home.start()
    with contextlib.closing(home.api(client="cursor")) as cursor:
        made = cursor.add("by cursor")
    async with opened(home) as pilot:
        await on_top(pilot, made["id"])
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
        home.kill()
        await pilot.press("y")
        await until(pilot, lambda: "is deleted" in toasts(pilot) or "stopped" in toasts(pilot), 30)
        assert pilot.app.is_running


async def test_undo_redo_and_help_work_over_what_is_read_whole(daemon: Home, cursor: Api, opened: Open) -> None:
    memory, other = cursor.add("goes and comes back"), cursor.add("is read meanwhile")
    async with opened(daemon, size=(120, 30)) as pilot:
        await on_top(pilot, other["id"])
        await pilot.press("down", "d")
        await told(pilot, "Deleted: “goes and comes back”")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader) and "u Undo" in texts(pilot))
        for key, said, deleted in (("u", "Undone", False), ("U", "Done again", True), ("u", "Undone", False)):
            await pilot.press(key)
            await told(pilot, said)
            assert cursor.call("GET", f"/api/v1/memories/{memory['id']}").body["deleted"] is deleted
            assert isinstance(pilot.app.screen, Reader)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, Help) and "One memory, whole" in texts(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("slash", *"u?")
        await until(pilot, lambda: pilot.app.screen.query_one("#find", Input).value == "u?")
        assert cursor.call("GET", f"/api/v1/memories/{memory['id']}").body["deleted"] is False
    cursor.must("PATCH", f"/memories/{other['id']}", {"content": "changed by another program"})
    async with opened(daemon) as pilot:
        await on_top(pilot, other["id"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, UndoPreview))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))

"""The first start: a first memory, the programs, and out again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import OptionList

from bench.home import Home
from jmem.tui.screens.connect import Connect
from jmem.tui.screens.memories import MemoriesPlace
from jmem.tui.screens.onboarding import Welcome
from jmem.tui.widgets.results import Results
from tests.tui.conftest import Open, texts, until


@pytest.fixture
def empty(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A daemon that remembers nothing, on a machine with Cursor."""
    (home.path.parent / ".cursor").mkdir()
    monkeypatch.setenv("HOME", str(home.path.parent))
    monkeypatch.setenv("JMEM_PORT", home.env["JMEM_PORT"])
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    home.start()
    return home


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (20, 5)], ids=["80x24", "140x40", "20x5"])
async def test_a_first_memory(empty: Home, opened: Open, size: tuple[int, int]) -> None:
    async with opened(empty, size) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, Welcome) and pilot.app.focused)
        await pilot.press(*"I drink tea", "enter")
        with contextlib.closing(empty.api()) as api:
            await until(pilot, lambda: api.must("GET", "/stats")["memories"] == 1)
        if size != (20, 5):
            await until(pilot, lambda: "remembered: I drink tea" in texts(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        rows = pilot.app.screen.query_one(Results)
        await until(pilot, lambda: rows.total == 1)
        assert rows.rows[0]["client"] == "tui"


async def test_a_secret_is_not_stored_in_passing(empty: Home, opened: Open) -> None:
    async with opened(empty) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, Welcome) and pilot.app.focused)
        await pilot.press(*("my key is ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"), "enter")
        await until(pilot, lambda: "looks like a secret" in texts(pilot))
        with contextlib.closing(empty.api()) as api:
            assert api.must("GET", "/stats")["memories"] == 0


async def test_a_program_is_connected(empty: Home, opened: Open) -> None:
    settings = Path(empty.path.parent) / ".cursor" / "mcp.json"
    async with opened(empty) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, Welcome) and "Cursor" in texts(pilot))
        programs = pilot.app.screen.query_one(OptionList)
        await until(pilot, lambda: programs.option_count > 1)
        assert programs.get_option_at_index(0).id == "cursor", "what is installed comes first"
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Connect) and "/.cursor/mcp.json" in texts(pilot), 30)
        assert not settings.exists(), "shown first"
        await pilot.press("enter")
        await until(pilot, settings.exists, 30)
        assert "jmem" in settings.read_text()
        await until(pilot, lambda: "nothing would change" in texts(pilot), 30)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Welcome) and "connected" in texts(pilot))


async def test_it_can_be_skipped_and_does_not_come_again(empty: Home, opened: Open) -> None:
    async with opened(empty) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, Welcome) and pilot.app.focused)
        await pilot.press("escape")
        await until(pilot, lambda: "Nothing is remembered yet" in texts(pilot))
        with contextlib.closing(empty.api()) as api:
            made = api.add("by another")
            rows = pilot.app.screen.query_one(Results)
            await until(pilot, lambda: rows.total == 1)
            api.must("DELETE", f"/memories/{made['id']}")
        await until(pilot, lambda: "Nothing is remembered yet" in texts(pilot))
        assert isinstance(pilot.app.screen, MemoriesPlace)


async def test_nobody_is_welcomed_who_has_memories(home: Home, opened: Open) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        api.add("here already")
    async with opened(home) as pilot:
        await until(pilot, lambda: "here already" in texts(pilot))
        assert isinstance(pilot.app.screen, MemoriesPlace)

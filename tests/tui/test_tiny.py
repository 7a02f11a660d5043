"""A window of hardly any columns."""

from __future__ import annotations

import pytest

from bench.home import Home
from jmem.tui.screens.base import Place
from tests.tui.conftest import Open, texts, until


@pytest.mark.parametrize("key", ["ctrl+p", "ctrl+n", "f1"])
async def test_any_size_is_survived(full: Home, opened: Open, key: str) -> None:
    async with opened(full) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: not isinstance(pilot.app.screen, Place))
        for size in ((1, 1), (2, 50), (3, 50), (1, 50), (4, 10), (100, 1), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.press("tab", "down")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "Search" in texts(pilot))

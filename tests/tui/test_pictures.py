"""Every place as a picture: with memories, without any, and when the daemon is gone."""

from __future__ import annotations

import pytest

from bench.home import Home
from tests.tui.conftest import Open
from tests.tui.snapshots import check

pytestmark = pytest.mark.usefixtures("still")
SIZES = [(80, 24), (140, 40)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_memories(full: Home, opened: Open, size: tuple[int, int]) -> None:
    async with opened(full, size) as pilot:
        check(pilot.app, f"memories-{size[0]}x{size[1]}")

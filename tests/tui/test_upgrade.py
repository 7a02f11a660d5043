"""jmem is upgraded, or taken away, while the interface is open."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

import pytest

from bench.footprint import use_of
from bench.home import Home, wait_for
from bench.tmux import Terminal
from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import ahead
from jmem.tui.remote import Remote

ROOT = Path(__file__).parents[2]
PLACES = {"2": "What was asked", "3": "wait", "4": "looked at", "5": "runs since", "6": "contrast"}


def test_every_place_is_there_when_the_modules_are_gone(home: Home, tmp_path: Path) -> None:
    home.start()
    home.jmem("add", "The kettle is descaled every March")
    for package in ("jmem", "daemon"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    environ = {**home.env, "PYTHONPATH": str(tmp_path)}
    with Terminal([sys.executable, "-P", "-m", "jmem"], environ) as terminal:
        terminal.see("The kettle", "live")
        time.sleep(ahead.AFTER_S)
        wait_for(lambda: use_of(terminal.pid, 0.5).cpu_ms < 20, 20, "it to be idle")
        shutil.rmtree(tmp_path / "jmem" / "tui")
        terminal.keys("Enter")
        for key, sign in PLACES.items():
            terminal.keys(key)
            terminal.see(sign)
        terminal.keys("1", "a")
        terminal.see("New memory")
        terminal.type("written after the upgrade")
        terminal.keys("C-s")
        terminal.until(lambda screen: "New memory" not in screen and "written after" in screen, "it to be saved")
        terminal.keys("Enter")
        terminal.see("e Edit", "written after")


async def test_a_part_that_is_gone_is_told_and_ends_nothing(home: Home) -> None:
    def call(daemon: Client) -> None:
        raise ModuleNotFoundError("No module named 'dateparser'")

    remote = Remote(Client(str(home.path)))
    with pytest.raises(JmemError, match="upgraded") as told:
        await remote(call)
    assert told.value.fix
    remote.close()


async def test_who_asks_while_the_interface_is_left_ends_with_it(home: Home) -> None:
    remote = Remote(Client(str(home.path)))
    remote.close()
    with pytest.raises(asyncio.CancelledError):
        await remote(lambda daemon: daemon.status())


def test_what_is_imported_ahead_is_every_screen() -> None:
    screens = {f"jmem.tui.screens.{path.stem}" for path in (ROOT / "jmem/tui/screens").glob("[!_]*.py")}
    assert screens <= set(ahead.modules())

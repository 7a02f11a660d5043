"""Draw docs/pictures/interface-*.svg: the interface before a real daemon, played by keys.

python docs/pictures/interface.py     needs the development environment
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent))

from bench.home import Home, temporary_home  # noqa: E402
from jmem.client import Client  # noqa: E402
from jmem.tui.app import JmemApp  # noqa: E402
from jmem.tui.prefs import Prefs  # noqa: E402

STORE = FOLDER.parent.parent / "tests" / "tui" / "store.jsonl"
SCENES: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {
    "memories": ((120, 30), (*"seat on a plane", "wait", "enter", "down", "up")),
    "history": ((120, 30), (*"aisle close to the front", "wait", "enter", "h")),
    "activity": ((120, 30), ("enter", "2")),
    "duplicates": ((120, 30), ("enter", "4")),
}
"""name -> size and the keys that lead there; `wait` is a moment"""


async def play(home: Home, size: tuple[int, int], keys: tuple[str, ...]) -> str:
    """The screen after the keys, as SVG."""
    app = JmemApp(Client(str(home.path), client="tui"), Prefs())
    async with app.run_test(size=size) as pilot:
        await _until(pilot, lambda: "memories" in app.facts)
        for key in keys:
            if key == "wait":
                await pilot.pause(1.0)
            else:
                await pilot.press("space" if key == " " else key)
        await pilot.pause(2.0)
        return app.export_screenshot(title="jmem", simplify=True)


async def _until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the interface did not come up")
        await pilot.pause(0.05)


def main() -> None:
    """Play every scene and write its picture beside this file."""
    with temporary_home() as home:
        home.start()
        home.jmem("import", str(STORE), "--from", "jsonl")
        home.indexed()
        for client, question in (("claude", "which seat should I book"), ("cursor", "when can I deploy")):
            home.jmem("connect", client, "--print")
            mcp = home.mcp(client)
            mcp.tool("search_memory", query=question)
            mcp.close()
        for name, (size, keys) in SCENES.items():
            (FOLDER / f"interface-{name}.svg").write_text(asyncio.run(play(home, size, keys)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

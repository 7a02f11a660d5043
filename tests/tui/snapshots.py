"""Screens as SVG pictures: what a test draws must be what `pictures/` holds.

`JMEM_UPDATE_PICTURES=1 python -m pytest tests/tui` draws them anew; look at them before you commit them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from textual.app import App

FOLDER = Path(__file__).parent / "pictures"
_ID = re.compile(r"terminal-\d+")
_FONT = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)


def drawn(app: App[None]) -> str:
    """The screen as SVG, without what differs from run to run."""
    svg = _FONT.sub("", app.export_screenshot(title="jmem", simplify=True))
    return _ID.sub("terminal", svg) + "\n"


def check(app: App[None], name: str) -> None:
    """Compare the screen with its picture; raises AssertionError, and leaves what was drawn beside it as NAME.new.svg."""
    picture, svg = FOLDER / f"{name}.svg", drawn(app)
    fresh = picture.with_suffix(".new.svg")
    if os.environ.get("JMEM_UPDATE_PICTURES"):
        FOLDER.mkdir(exist_ok=True)
        picture.write_text(svg, encoding="utf-8")
        fresh.unlink(missing_ok=True)
        return
    assert picture.exists(), f"there is no picture {picture.name}; JMEM_UPDATE_PICTURES=1 draws it"
    if picture.read_text(encoding="utf-8") != svg:
        fresh.write_text(svg, encoding="utf-8")
        raise AssertionError(f"the screen is not as in {picture}; what was drawn is in {fresh.name}")
    fresh.unlink(missing_ok=True)

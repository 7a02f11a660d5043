"""A place that one comes to from another one, about one memory; Esc goes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult

from jmem.tui import shown
from jmem.tui.screens.base import Place
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.topbar import TopBar

TITLE = 60
"""Columns of a memory in a heading."""


class Page(Place):
    """Undo and help work here as in any place."""

    def compose(self) -> ComposeResult:
        yield TopBar("memories")
        yield from self.content()
        yield KeyBar()

    def action_leave(self) -> None:
        """Back to where one was."""
        self.dismiss()


def title(memory: Mapping[str, Any], columns: int = TITLE) -> str:
    """The beginning of a memory, for a heading."""
    return shown.fit(shown.headline(memory), columns).rstrip()

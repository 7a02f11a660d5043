"""A text that is written for the columns it has, and written anew when it has others; scrolls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static


class Fitted(VerticalScroll):
    """`draw` says what is shown: a function from columns to the text."""

    DEFAULT_CSS = """
    Fitted { padding: 0 1; scrollbar-size-vertical: 1; }
    Fitted Static { height: auto; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._make: Callable[[int], Text] = lambda width: Text()
        self._body = Static("", markup=False)

    def compose(self) -> ComposeResult:
        yield self._body

    def draw(self, make: Callable[[int], Text]) -> None:
        """Show something else."""
        self._make = make
        self._fit()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        columns = self.content_size.width
        if columns:
            self._body.update(self._make(max(columns - 1, 12)))

"""The line where one asks. The list is moved through from here too, as in other finders."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import Input

from jmem.tui import actions
from jmem.tui.widgets.results import Results


class Question(Input):
    """Text is asked for as it is typed; the keys of the scope `question` go to the list."""

    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings("question")]
    DEFAULT_CSS = """
    Question { width: 1fr; border: none; padding: 0; height: 1; background: transparent; }
    """

    def __init__(self, id: str) -> None:
        super().__init__(placeholder="Search by meaning or words", id=id, compact=True)
        self.cursor_blink = False

    def action_results(self) -> None:
        """To the list."""
        self.screen.query_one(Results).focus()

    def action_move(self, step: int) -> None:
        """In the list, from here."""
        self.screen.query_one(Results).action_move(step)

    def action_page(self, step: int) -> None:
        """A screen of the list."""
        self.screen.query_one(Results).action_page(step)

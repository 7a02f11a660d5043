"""Where one writes: an area for the text of a memory and lines for what belongs to it."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Checkbox, Input, TextArea
from textual.widgets.text_area import Edit, EditResult

from jmem.tui import literal


class WriteArea(TextArea):
    """Many lines, soft-wrapped. `content` is the exact text; escapes in it are shown as marks, never executed."""

    DEFAULT_CSS = """
    WriteArea { border: none; padding: 0 1; background: $background; scrollbar-size-vertical: 1; height: 1fr; min-height: 1; }
    WriteArea:focus { border: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+home", "edge(-1)", show=False),
        Binding("ctrl+end", "edge(1)", show=False),
    ]

    def __init__(self, text: str = "", *, id: str | None = None, placeholder: str = "") -> None:
        super().__init__(literal.editable(text), id=id, placeholder=placeholder, highlight_cursor_line=False)
        self.cursor_blink = False
        self.theme = "css"

    @property
    def content(self) -> str:
        """The text as it is to be stored."""
        return literal.exact(self.text)

    def put(self, text: str) -> None:
        """Another text; the cursor goes to its start and an undo brings back the one before."""
        self.replace(literal.editable(text), (0, 0), self.document.end)
        self.move_cursor((0, 0))

    def action_edge(self, side: int) -> None:
        """To the start or the end of the text."""
        self.move_cursor((0, 0) if side < 0 else self.document.end)

    def edit(self, edit: Edit) -> EditResult:
        edit.text = literal.typed(edit.text)
        return super().edit(edit)

    @property
    def selected_text(self) -> str:
        return literal.exact(super().selected_text)

    def get_line(self, line_index: int) -> Text:
        return Text(literal.drawn(self.document.get_line(line_index)), end="", no_wrap=True)


class WriteLine(Input):
    """One line of text without a frame."""

    DEFAULT_CSS = """
    WriteLine { height: 1; border: none; padding: 0 1; background: $background; width: 1fr; }
    WriteLine:focus { border: none; background: $primary 15%; }
    WriteLine.-invalid, WriteLine.-invalid:focus { border: none; }
    """

    def __init__(self, text: str = "", **options: Any) -> None:
        super().__init__(literal.editable(text), compact=True, select_on_focus=False, **options)
        self.cursor_blink = False

    @property
    def content(self) -> str:
        """The text as it is to be stored, without spaces around it."""
        return literal.exact(self.value).strip()

    def _on_paste(self, event: events.Paste) -> None:
        """Before the one of Input, which puts it in."""
        event.text = literal.typed(event.text)


class Tick(Checkbox):
    """A box that is empty or ticked, told apart without colours too."""

    DEFAULT_CSS = """
    Tick { height: 1; border: none; padding: 0 1; background: transparent; width: 1fr; }
    Tick:focus { border: none; background: $primary 15%; }
    """

    @property
    def _button(self) -> Content:
        return Content("[x]" if self.value else "[ ]")

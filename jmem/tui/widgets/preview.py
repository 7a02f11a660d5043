"""The memory under the cursor: its text with the words of the question marked, and what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from jmem.cli.render import card_fields
from jmem.cli.text import wrap
from jmem.tui import legs, shown

CHARS = 6_000
"""Of a text, what is shown here; all of it is a key away."""

_NEAR_LINES = 3
"""Of a text that it resembles."""


class Preview(ScrollView, can_focus=True):
    """Text above, particulars below. It draws its own lines: laying a screen out anew for each key takes too long."""

    DEFAULT_CSS = """
    Preview {
        width: 2fr; height: 1fr; border: round $panel; border-title-color: $foreground 70%; padding: 0 1;
        scrollbar-size-vertical: 1; overflow-x: hidden; background: transparent;
    }
    Preview:focus { border: round $primary; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.border_title = "Preview"
        self._shown: tuple[dict[str, Any] | None, Sequence[str]] = None, ()
        self._near: Sequence[dict[str, Any]] = ()
        self._lines: list[Text] = []

    def show(self, memory: dict[str, Any] | None, words: Sequence[str] = ()) -> None:
        """Another memory, or none."""
        if self._shown != (memory, words):
            self._shown, self._near = (memory, words), ()
            self._draw()
            self.scroll_home(animate=False)

    def resembles(self, near: Sequence[dict[str, Any]]) -> None:
        """Memories that say nearly the same as the one that is shown, nearest first; below it."""
        self._near = near
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        memory, words = self._shown
        width = self.scrollable_content_region.width
        self._lines = []
        if memory is not None and width > 0:
            text = card(memory, words, self.app.theme_variables, width)
            _resembling(text, self._near, self.app.theme_variables, width)
            self._lines = list(text.wrap(self.app.console, width, no_wrap=False))
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, at = self.size.width, self.scroll_offset.y + y
        if at >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = self._lines[at]
        strip = Strip(list(line.render(self.app.console)), line.cell_len)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)


def card(
    memory: dict[str, Any], words: Sequence[str], colours: dict[str, str], width: int, limit: int | None = CHARS
) -> Text:
    """A memory as text for so many columns; `limit` characters of its content, None for all."""
    content = memory["content"]
    body = shown.marked(shown.whole(content if limit is None else content[:limit]), words, f"bold {colours['accent']}")
    body.no_wrap = False
    if limit is not None and len(content) > limit:
        body.append(f"\n… {len(content) - limit:,} more characters: Enter shows all", f"italic {colours['warning']}")
    body.append("\n\n")
    for name, value in card_fields(memory):
        if name == "id" and limit is not None:
            value = value[-6:]  # the last ones tell it apart; all of it is in the memory itself
        _field(body, name, value, width, colours["success"] if name == "tags" else "")
    if memory.get("also"):
        _field(body, "also", f"{len(memory['also'])} more with the same text", width, "")
    if memory.get("explain"):
        body.append("\nwhy\n", f"bold {colours['secondary']}")
        _field(body, "words", legs.words(memory["explain"]), width, "dim")
        _field(body, "meaning", legs.meaning(memory["explain"]), width, "dim")
    return body


def _resembling(body: Text, near: Sequence[dict[str, Any]], colours: dict[str, str], width: int) -> None:
    if near:
        body.append("\nIt resembles\n", f"bold {colours['secondary']}")
    for memory in near:
        for number, line in enumerate(wrap(shown.headline(memory), max(width - 2, 8), _NEAR_LINES)):
            body.append(f"{'· ' if not number else '  '}{line}\n")


def _field(body: Text, name: str, value: str, width: int, style: str) -> None:
    """A name and its value, whose further lines stand below its first."""
    indent = 10 if width < 50 else 12
    for number, line in enumerate(wrap(value, max(width - indent, 8))):
        body.append("" if number else shown.fit(name, indent - 1) + " ", "dim")
        body.append(" " * indent if number else "")
        body.append(f"{line}\n", style)

"""The memory under the cursor: its text with the words of the question marked, and what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from jmem.cli.render import card_fields, explain_lines
from jmem.tui import shown

CHARS = 6_000
"""Of a text, what is shown here; all of it is a key away."""


class Preview(VerticalScroll):
    """Text above, particulars below; scrolls by mouse and when it has the focus."""

    DEFAULT_CSS = """
    Preview { width: 2fr; height: 1fr; border: round $panel; padding: 0 1; scrollbar-size-vertical: 1; }
    Preview:focus { border: round $primary; }
    """
    can_focus = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.border_title = "Preview"
        self._body = Static("", markup=False)

    def compose(self) -> Any:
        yield self._body

    def show(self, memory: dict[str, Any] | None, words: Sequence[str] = ()) -> None:
        """Another memory, or none."""
        self._body.update(Text("") if memory is None else card(memory, words, self.app.theme_variables))
        self.scroll_home(animate=False)


def card(memory: dict[str, Any], words: Sequence[str], colours: dict[str, str], limit: int | None = CHARS) -> Text:
    """A memory as text for the screen; `limit` characters of its content, None for all."""
    content = memory["content"]
    body = shown.marked(shown.whole(content if limit is None else content[:limit]), words, f"bold {colours['accent']}")
    body.no_wrap = False
    if limit is not None and len(content) > limit:
        body.append(f"\n… {len(content) - limit:,} more characters: Enter shows all", f"italic {colours['warning']}")
    body.append("\n\n")
    for name, value in card_fields(memory):
        body.append(f"{name:<11} ", "dim")
        body.append(f"{value}\n", colours["success"] if name == "tags" else "")
    if memory.get("also"):
        body.append("also        ", "dim")
        body.append(f"{len(memory['also'])} more with the same text\n")
    if memory.get("explain"):
        body.append("\nwhy\n", "bold dim")
        for line in explain_lines(memory["explain"]):
            body.append(f"{line}\n", "dim")
    return body

"""What a memory superseded and what superseded it, oldest first; Enter goes to one of them."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from jmem.cli.render import standing
from jmem.tui import shown
from jmem.tui.screens.base import Dialog
from jmem.tui.widgets.rows import Rows

Memory = dict[str, Any]


class Chain(Rows[Memory]):
    """One line a memory: what it is by now, its text, its age."""

    def __init__(self, current: str | None, here: str) -> None:
        super().__init__()
        self._holds, self._here = current, here

    def key(self, item: Memory) -> Any:
        return item["id"]

    def line(self, item: Memory, number: int, width: int) -> Text:
        state = standing(item, self._holds)
        tone = {"current": "good", "deleted": "bad"}.get(state, "dim")
        text = Text(no_wrap=True, end="")
        text.append("▸ " if item["id"] == self._here else "  ", self.style("accent"))
        text.append(shown.fit(state, 11), self.style(tone))
        when = shown.age_of(item).rjust(5) + " "
        room = max(width - text.cell_len - len(when), 1)
        text.append(shown.fit(shown.headline(item), room), None if state == "current" else self.style("dim"))
        text.append(when, self.style("dim"))
        return text


class ChainDialog(Dialog[Memory | None]):
    """Gives the memory that was chosen."""

    DEFAULT_CSS = """
    ChainDialog > .box { width: 100; height: auto; max-height: 80%; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Its history"),
        Binding("q,s", "dismiss_none", show=False),
    ]

    def __init__(self, found: dict[str, Any], here: str) -> None:
        super().__init__()
        self._found, self._here = found, here

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"{len(self._found['chain']):,} memories, each in the place of the one before")
            box.border_subtitle = "Enter: its history · Esc: back"
            chain = Chain(self._found["current"], self._here)
            chain.styles.height = min(len(self._found["chain"]), 30)
            yield chain

    def on_mount(self) -> None:
        chain, members = self.query_one(Chain), self._found["chain"]
        chain.show(members)
        chain.cursor = next((n for n, one in enumerate(members) if one["id"] == self._here), 0)

    @on(Rows.Chosen)
    def action_choose(self) -> None:
        """Go there."""
        self.dismiss(self.query_one(Chain).current)

"""The programs that are connected, three lines each: when it was last seen, what it may do, and its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import work
from textual.binding import BindingType
from textual.message import Message

from jmem.cli.text import age
from jmem.client import Client
from jmem.core.errors import Invalid
from jmem.core.model import check_tags, tags_line, tags_of
from jmem.tui import actions, shown
from jmem.tui.widgets.rows import Rows
from jmem.wire import quote

if TYPE_CHECKING:
    from jmem.tui.screens.base import Place

Program = dict[str, Any]
MAX_PER_HOUR = 1_000_000


class Known(Message):
    """The programs."""

    def __init__(self, programs: list[Program]) -> None:
        super().__init__()
        self.programs = programs


class Programs(Rows[Program]):
    """Its actions are those of the place: the keys hold while it has the focus."""

    LINES = 3
    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings("programs")]

    class Picked(Message):
        """The stream is to show only this program, or all again."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    only = ""
    """the program that the stream is narrowed to"""

    def key(self, item: Program) -> Any:
        return item["name"]

    def line(self, item: Program, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        if number == 0:
            self._head(text, item, width)
        elif number == 1:
            for right in ("read", "write", "delete"):
                text.append("   ✓ " if item[right] else "   ✗ ", self.style("good" if item[right] else "bad"))
                text.append(right, "" if item[right] else self.style("dim"))
        else:
            text.append("   ")
            text.append_text(self._allowed(item))
            text.truncate(width)
        return text

    def _head(self, text: Text, item: Program, width: int) -> None:
        seen = seen_of(item)
        live = seen in ("now", "1m", "2m", "3m", "4m")
        text.append(" ● " if live else " ○ ", self.style("good" if live else "dim"))
        narrowed = " (only this)" if item["name"] == self.only else ""
        room = max(width - 4 - len(seen) - len(narrowed), 4)
        text.append(shown.fit(shown.one_line(item["name"]), min(room, shown.cell_len(item["name"]))), "bold")
        text.append(narrowed, self.style("accent"))
        text.append(" " * max(width - text.cell_len - len(seen) - 1, 1) + seen + " ", self.style("dim"))

    def _allowed(self, item: Program) -> Text:
        tags = item["tags"]
        names = [("sees ", "dim"), *((f"#{shown.one_line(tag)} ", "good") for tag in tags or ())]
        parts: list[list[tuple[str, str]]] = [names] if tags else [[("sees every memory", "dim")]]
        if tags is not None and not tags:
            parts = [[("sees no memory", "bad")]]
        if item["review"]:
            parts.insert(0, [("waits for review", "warn")])
        if item["writes_per_hour"] is not None:
            parts.insert(0, [(f"{item['writes_per_hour']:,}/h", "warn")])
        text = Text(no_wrap=True, end="")
        for number, part in enumerate(parts):
            text.append(" · " if number else "", self.style("dim"))
            for word, style in part:
                text.append(word, self.style(style))
        text.rstrip()
        return text

    # ---- what it may do

    def action_choose(self) -> None:
        """Only what this program asks, or all again."""
        if self.current is not None:
            self.post_message(self.Picked(self.current["name"]))

    def _change(self, name: str, changes: dict[str, Any]) -> None:
        self._ask("PATCH", name, changes)

    def _ask(self, method: str, name: str, body: dict[str, Any] | None = None) -> None:
        """Change one program; then all are read again."""

        def call(daemon: Client) -> list[Program]:
            daemon.request(method, f"/clients/{quote(name)}", body)
            return daemon.clients()

        cast("Place", self.screen).fetch(call, Known, group="programs-change")

    def action_read(self) -> None:
        """Let it read, or not."""
        self._switch("read")

    def action_write(self) -> None:
        """Let it write, or not."""
        self._switch("write")

    def action_delete(self) -> None:
        """Let it delete, or not."""
        self._switch("delete")

    def action_review(self) -> None:
        """Let what it writes wait, or not."""
        self._switch("review")

    def _switch(self, right: str) -> None:
        if (program := self.current) is not None:
            self._change(program["name"], {right: not program[right]})

    @work(group="ask")
    async def action_tags(self) -> None:
        """Which tags it may see."""
        program = self.current
        if program is None:
            return
        from jmem.tui.screens.ask import Line

        tags = await self.app.push_screen_wait(
            Line(f"Tags that {program['name']} may see", tags_line(program["tags"] or ()), check=_wrong_tags,
                 placeholder="every memory",
                 help="With commas between them; empty: it sees every memory. What it adds gets the first one.")
        )  # fmt: skip
        if tags is not None:
            self._change(program["name"], {"tags": tags_of(tags) or None})

    @work(group="ask")
    async def action_cap(self) -> None:
        """How many changes within an hour."""
        program = self.current
        if program is None:
            return
        from jmem.tui.screens.ask import Line

        cap = program["writes_per_hour"]
        text = await self.app.push_screen_wait(
            Line(f"Changes that {program['name']} may make within an hour", "" if cap is None else str(cap),
                 check=_wrong_cap, placeholder="as many as it likes",
                 help="What it adds, changes and deletes, counted together. Empty: no cap.")
        )  # fmt: skip
        if text is not None:
            self._change(program["name"], {"writes_per_hour": int(text) if text.strip() else None})

    @work(group="ask")
    async def action_disconnect(self) -> None:
        """Ask, then make its key worthless."""
        program = self.current
        if program is None:
            return
        from jmem.tui.screens.confirm import Answer, Choice

        name = program["name"]
        text = (
            f"{name} reaches your memory no more: its key is worthless at once. What it wrote stays.\n\n"
            f"`jmem disconnect {name}` does this too and takes jmem out of its settings."
        )
        answers = (Answer("yes", "y", "Disconnect", dangerous=True), Answer("", "n", "Leave it connected"))
        if await self.app.push_screen_wait(Choice(f"Disconnect {name}?", text, answers, danger=True)) == "yes":
            self._ask("DELETE", name)

    @work(group="ask")
    async def action_take_back(self) -> None:
        """Undo what it wrote since a moment."""
        program = self.current
        if program is not None:
            from jmem.tui.screens.takeback import TakeBack

            await self.app.push_screen_wait(TakeBack(program["name"]))


def seen_of(item: Program) -> str:
    """When it asked last: `now`, `3d`, `never`."""
    return age(item["last_seen"]) if item["last_seen"] else "never"


def _wrong_tags(text: str) -> str:
    try:
        check_tags(tags_of(text))
    except Invalid as error:
        return error.message
    return ""


def _wrong_cap(text: str) -> str:
    text = text.strip()
    good = not text or (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PER_HOUR and len(text) < 9)
    return "" if good else f"a whole number from 1 to {MAX_PER_HOUR:,}, or nothing"

"""One memory, whole: all of its text, however long, with a search inside, and what is known about it below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from jmem.cli.render import card_fields
from jmem.cli.text import wrap
from jmem.core.errors import JmemError
from jmem.tui import literal, shown
from jmem.tui.feed import Changed
from jmem.tui.screens.base import Dialog
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.longtext import LongText
from jmem.tui.widgets.writing import WriteLine

EDIT = "edit"
TENDS = frozenset(("tag", "delete", "archive", "history", "explain"))
CHANGES = frozenset((EDIT, "tag", "delete", "archive"))


class Read(Message):
    """The memory as it is now; None when it is gone."""

    def __init__(self, memory: dict[str, Any] | None) -> None:
        super().__init__()
        self.memory = memory


class Reader(Dialog[str | None]):
    """Gives what the person wants to do to it, by the name of the action that does it in a list: EDIT, or one of TENDS
    where the list can do them."""

    scope = "reader"
    asks, everywhere = False, ("app.undo", "app.redo", "app.help")
    DEFAULT_CSS = """
    Reader > .box { width: 100; height: 100%; padding: 0; }
    Reader #sought { height: 1; display: none; background: $panel; }
    Reader.-finding #sought, Reader.-found #sought { display: block; }
    Reader #sought Static { width: auto; padding: 0 1; color: $accent; }
    Reader #sought WriteLine { background: $panel; }
    Reader.-low > .box { border: none; }
    """
    AUTO_FOCUS = "LongText"

    def __init__(
        self, memory: dict[str, Any], words: Sequence[str] = (), *, tend: bool = False, past: bool = False
    ) -> None:  # fmt: skip
        """`tend`: the list can do TENDS; `past`: the memory is as it was once, and stays so."""
        super().__init__()
        self.memory, self._words, self._past = memory, words, past
        self._without = frozenset(() if tend else TENDS) | (CHANGES if past else frozenset())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the list can do."""
        return super().check_action(action, parameters) and action not in self._without

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield LongText()
            with Horizontal(id="sought"):
                yield Static("find", markup=False)
                yield WriteLine(id="find")
                yield Static("", id="count", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 12, "-low")

    def _draw(self) -> None:
        text, memory = self.query_one(LongText), self.memory
        box = self.query_one(".box")
        state = shown.state_of(memory)
        box.border_title = Content(f"{memory['id'][-6:]}" + (f" · {state}" if state != "active" else ""))
        box.border_subtitle = Content(f"{len(memory['content'].encode()):,} bytes · {shown.age_of(memory)}")
        text.show(shown.whole(memory["content"]), self._fields, self._words)

    def _fields(self, width: int) -> list[Text]:
        colours = self.app.theme_variables
        lines = [Text(), Text("─" * max(width, 0), "dim", no_wrap=True)]
        for name, value in card_fields(self.memory):
            for number, part in enumerate(wrap(value, max(width - 12, 8))):
                line = Text(no_wrap=True, end="")
                line.append(" " * 12 if number else shown.fit(name, 11) + " ", "dim")
                line.append(part, colours["success"] if name == "tags" else "")
                lines.append(line)
        return lines

    # ---- searching

    def action_find(self) -> None:
        """Type what to look for."""
        self.add_class("-finding")
        self.query_one(WriteLine).focus()

    @on(Input.Changed, "#find")
    def _typed(self) -> None:
        self.query_one(LongText).find(literal.drawn(self.query_one(WriteLine).content))

    @on(Input.Submitted, "#find")
    def _entered(self) -> None:
        self.remove_class("-finding")
        self.set_class(bool(self.query_one(WriteLine).value), "-found")
        self.query_one(LongText).focus()

    @on(LongText.Found)
    def _count(self, found: LongText.Found) -> None:
        sought = self.query_one(WriteLine).value
        self.query_one("#count", Static).update(
            f"{found.at} of {found.of}" if found.of else "not in it" if sought else ""
        )

    def action_next(self) -> None:
        """The next match."""
        self.query_one(LongText).step(1)

    def action_previous(self) -> None:
        """The match before."""
        self.query_one(LongText).step(-1)

    # ---- the rest

    def memory_changed(self, change: Changed) -> None:
        """Show it as it is now."""
        if change.id == self.memory["id"] and not self._past:
            self.begin(self._read, group="read", exclusive=True)

    async def _read(self) -> None:
        id = self.memory["id"]
        try:
            self.post_message(Read(await self.remote(lambda daemon: daemon.get(id))))
        except JmemError:
            self.post_message(Read(None))

    @on(Read)
    def _show(self, read: Read) -> None:
        self.memory = read.memory or {**self.memory, "deleted": True}
        self._draw()

    def action_edit(self) -> None:
        """Change it."""
        self.dismiss(EDIT)

    def action_tag(self) -> None:
        """Its tags."""
        self.dismiss("tag")

    def action_delete(self) -> None:
        """At once."""
        self.dismiss("delete")

    def action_archive(self) -> None:
        """Or bring back."""
        self.dismiss("archive")

    def action_history(self) -> None:
        """Its versions."""
        self.dismiss("history")

    def action_explain(self) -> None:
        """Why it was found, and who got it."""
        self.dismiss("explain")

    def action_copy(self) -> None:
        """The text to the clipboard."""
        self.app.copy_to_clipboard(self.memory["content"])
        self.notify("Copied", markup=False)

    def action_copy_id(self) -> None:
        """The id to the clipboard."""
        self.app.copy_to_clipboard(self.memory["id"])
        self.notify(f"Copied the id {self.memory['id']}", markup=False)

    def action_undo(self) -> None:
        """The last change, as in a place."""
        self.jmem.action_undo()

    def action_redo(self) -> None:
        """What was undone last."""
        self.jmem.action_redo()

    def action_help(self) -> None:
        """Every key of it."""
        self.jmem.action_help()

    def action_leave(self) -> None:
        """Out of the search, then out."""
        line = self.query_one(WriteLine)
        if self.has_class("-finding") or self.has_class("-found"):
            self.remove_class("-finding", "-found")
            line.value = ""
            self.query_one(LongText).focus()
        else:
            self.dismiss(None)

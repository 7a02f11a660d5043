"""Undo of everything that one program wrote since a moment: what would change is shown first."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from jmem.core.errors import JmemError
from jmem.tui import shown
from jmem.tui.changes import changes_text
from jmem.tui.screens.base import Dialog, say

DEBOUNCE_S = 0.25
USUAL = "1 hour ago"


class Previewed(Message):
    """What the undo since `since` would change, or why that can't be said."""

    def __init__(self, since: str, answer: dict[str, Any] | None, error: JmemError | None = None) -> None:
        super().__init__()
        self.since, self.answer, self.error = since, answer, error


class Done(Message):
    """It was taken back, or not."""

    def __init__(self, answer: dict[str, Any] | None, error: JmemError | None = None) -> None:
        super().__init__()
        self.answer, self.error = answer, error


class TakeBack(Dialog[None]):
    """Asks for the moment, shows what would change while one types, and does it at Enter."""

    DEFAULT_CSS = """
    TakeBack > .box { width: 92; height: auto; max-height: 95%; border-title-color: $warning; padding: 1 2 0 2; }
    TakeBack Input { background: $panel; border: none; height: 1; padding: 0 1; }
    TakeBack #what { height: auto; margin: 1 0 0 0; }
    TakeBack VerticalScroll { height: auto; max-height: 1fr; min-height: 1; margin: 1 0; scrollbar-size-vertical: 1; }
    TakeBack .keys { color: $foreground 60%; height: 1; }
    TakeBack.-low > .box { border: none; padding: 0 1; height: 100%; }
    TakeBack.-low VerticalScroll { margin: 0; }
    """

    def __init__(self, client: str) -> None:
        super().__init__()
        self._client = client
        self._previewed: Previewed | None = None
        self._doing = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Take back what {self._client} wrote since")
            line = Input(USUAL, placeholder="yesterday, 9:00, 2026-11-20; nothing: since ever", compact=True)
            line.cursor_blink = False
            yield line
            yield Static("", id="what", markup=False)
            with VerticalScroll(can_focus=False):
                yield Static("", id="changes", markup=False)
            yield Static(
                "Enter takes it back as one step · Esc leaves everything as it is", classes="keys", markup=False
            )

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 16, "-low")
        if self._previewed is not None:
            self._show(self._previewed)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.begin(partial(self._preview, event.value.strip()), group="preview", exclusive=True)

    async def _preview(self, since: str) -> None:
        await asyncio.sleep(DEBOUNCE_S if self._previewed else 0)
        try:
            answer = await self.remote(lambda daemon: daemon.undo_all(self._client, since or None, dry_run=True))
        except JmemError as error:
            self.post_message(Previewed(since, None, error))
        else:
            self.post_message(Previewed(since, answer))

    @on(Previewed)
    def _show(self, previewed: Previewed) -> None:
        if previewed.since != self.query_one(Input).value.strip():
            return
        self._previewed = previewed
        colours = self.app.theme_variables
        what, changes = self.query_one("#what", Static), self.query_one("#changes", Static)
        answer = previewed.answer
        if answer is None:
            what.update(Text(str(previewed.error.message if previewed.error else ""), colours["error"]))
            changes.update("")
            return
        count, changed = len(answer["undone"]), answer["changed"]
        more = "more than " if answer.get("truncated") else ""
        told = f"{more}{counted(count, 'action')}, changing {counted(changed, 'memory', 'memories')}"
        text = Text(f"Would take back {told}:" if changed else "There is nothing to take back.", "bold")
        for skipped in answer["skipped"][:3]:
            text.append(
                f"\n{skipped['id'][-6:]} stays as it is: {shown.one_line(skipped['reason'])}", colours["warning"]
            )
        what.update(text)
        width = self.query_one(".box").content_size.width - 1
        changes.update(changes_text(answer, colours, max(width, 20)))

    @on(Input.Submitted)
    def _submit(self) -> None:
        """Do what was shown; what the program does meanwhile is not in what was agreed to."""
        held = self._previewed
        if held is None or held.answer is None or held.since != self.query_one(Input).value.strip() or self._doing:
            return
        if not held.answer["changed"]:
            self.dismiss(None)
            return
        self._doing = True
        self.begin(partial(self._do, held.since, held.answer["undone"][0]["action"]), group="do")

    async def _do(self, since: str, upto: int) -> None:
        try:
            answer = await self.remote(lambda daemon: daemon.undo_all(self._client, since or None, upto=upto))
        except JmemError as error:
            self.post_message(Done(None, error))
        else:
            self.post_message(Done(answer))

    @on(Done)
    def _done(self, done: Done) -> None:
        self._doing = False
        if done.error is not None:
            say(self, done.error)
        elif done.answer is not None:
            changed = counted(done.answer["changed"], "memory is as it was", "memories are as they were")
            self.app.notify(f"{changed} before. Redo brings all of it back.", markup=False)
            self.dismiss(None)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 action`, `3 actions`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

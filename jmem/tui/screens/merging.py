"""One text of two memories: both stand in it to begin with; what is saved is one step for undo."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from jmem.client import Client
from jmem.core.errors import JmemError, SecretFound
from jmem.tui.screens import confirm
from jmem.tui.screens.base import Dialog
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.writing import WriteArea


class Merged(Message):
    """The daemon has it."""


class NotMerged(Message):
    """Why not."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


class Merging(Dialog[bool]):
    """Gives True once it is saved. The older memory stays, so that its age and history do."""

    scope = "merging"
    DEFAULT_CSS = """
    Merging > .box { width: 100; height: 80%; padding: 0; margin: 0 0 1 0; }
    Merging #told { height: auto; padding: 0 1; color: $foreground 70%; }
    Merging #told.-bad { color: $error; }
    """
    AUTO_FOCUS = "WriteArea"

    def __init__(self, pair: dict[str, Any]) -> None:
        super().__init__()
        self._saving = False
        older = "a" if pair["a"]["created_at"] < pair["b"]["created_at"] else "b"
        if pair["a"]["privacy"] != pair["b"]["privacy"]:  # what is private can't go into what is synced
            older = "a" if pair["a"]["privacy"] == "local" else "b"
        self._keep, self._other = pair[older], pair["b" if older == "a" else "a"]
        self.heading, self.remark = (
            "One memory of both",
            f"{self._keep['id'][-6:]} stays, {self._other['id'][-6:]} is deleted",
        )

    @property
    def _begun(self) -> str:
        keep, other = self._keep["content"], self._other["content"]
        return str(keep if keep.strip() == other.strip() else f"{keep}\n\n{other}")

    def hand(self, daemon: Client, text: str, secrets: str) -> object:
        """Store the text."""
        keep, other = self._keep, self._other
        request = {
            "other": other["id"], "content": text, "version": keep["version"], "other_version": other["version"], "secrets": secrets,
        }  # fmt: skip
        return daemon.merge(keep["id"], request)

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title, box.border_subtitle = Content(self.heading), Content(self.remark)
            yield Static("Both texts stand here: leave in it what the one memory is to say.", id="told", markup=False)
            yield WriteArea(self._begun)
        yield KeyBar()

    def action_save(self) -> None:
        """Hand it to the daemon."""
        self._send("refuse")

    def _send(self, secrets: str) -> None:
        text = self.query_one(WriteArea).content
        if self._saving:
            return
        if not text.strip():
            self._tell("There is nothing in it yet")
            return
        self._saving = True

        async def work() -> None:
            try:
                await self.remote(lambda daemon: self.hand(daemon, text, secrets))
            except JmemError as error:
                self.post_message(NotMerged(error))
            else:
                self.post_message(Merged())

        self.begin(work, group="save")

    @on(Merged)
    def _merged(self) -> None:
        self.dismiss(True)

    @on(NotMerged)
    def _not_merged(self, event: NotMerged) -> None:
        self._saving = False
        error = event.error
        if isinstance(error, SecretFound):
            body = "The text carries what looks like a secret. Nothing is changed yet."
            self.app.push_screen(confirm.secret(body), lambda answer: self._send(answer) if answer else None)
        else:
            self._tell(f"Not saved: {error.message}" + (f"\n{error.fix}" if error.fix else ""))

    def _tell(self, text: str) -> None:
        told = self.query_one("#told", Static)
        told.update(text)
        told.add_class("-bad")

    def action_leave(self) -> None:
        """Out; asks only where something would be lost."""
        if self.query_one(WriteArea).content == self._begun:
            self.dismiss(False)
            return
        confirm.leave_unsaved(self, self.action_save, False)

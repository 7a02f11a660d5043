"""Undo and redo from everywhere: what this interface did last is taken back at once, what others did is shown first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from textual import on
from textual.message import Message

from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import actions, saving, shown
from jmem.tui.inorder import InOrder
from jmem.tui.main import CLIENT
from jmem.tui.prefs import Prefs
from jmem.tui.remote import Remote
from jmem.tui.screens.base import Dialog, Place, say

PREVIEW = 48
"""Columns of a memory that a short note names."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """One change that was too large for one action: the first action with its moment, and the last."""

    since: str
    first: int
    last: int


class Looked(Message):
    """What would be taken back, where that is not for the interface to decide."""

    def __init__(self, answer: dict[str, Any], redo: bool) -> None:
        super().__init__()
        self.answer, self.redo = answer, redo


class TakenBack(Message):
    """What was taken back, or done again."""

    def __init__(self, answer: dict[str, Any], redo: bool) -> None:
        super().__init__()
        self.answer, self.redo = answer, redo


class NotTaken(Message):
    """Why it could not be."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


class Undoing(InOrder):
    """The part of the app that undoes. `bulks` are the large changes of this session."""

    prefs: Prefs
    remote: Remote

    def __init__(self) -> None:
        super().__init__()
        self.bulks: list[Bulk] = []
        self._one_by_one = asyncio.Lock()

    def action_undo(self) -> None:
        """The last change, whoever did it."""
        self._undo(redo=False)

    def action_redo(self) -> None:
        """What was undone last."""
        self._undo(redo=True)

    def _undo(self, *, redo: bool) -> None:
        self.run_worker(self._look_and_take(redo), group="undo")

    async def _look_and_take(self, redo: bool) -> None:
        def work(daemon: Client) -> Message:
            answer = daemon.undo(1, redo=redo, dry_run=True)
            undone = answer["undone"]
            if undone and any(action["client"] != CLIENT for action in undone):
                return Looked(answer, redo)
            return TakenBack(_take(daemon, answer, redo, self.bulks) if undone else answer, redo)

        async with self._one_by_one:
            if self._asked:
                return
            await self._carried(work)

    @property
    def _asked(self) -> bool:
        """Whether a question stands about another step."""
        return isinstance(self.screen, Dialog) and self.screen.asks

    async def _carried(self, work: Callable[[Client], Message]) -> None:
        try:
            message = await self.remote(work)
        except JmemError as error:
            message = NotTaken(error)
        self.post_message(message)

    @on(Looked)
    def _ask(self, looked: Looked) -> None:
        from jmem.tui.screens.undo import UndoPreview

        def decided(answer: str | None) -> None:
            if answer:
                self.run_worker(self._carried(
                    lambda daemon: TakenBack(_take(daemon, looked.answer, looked.redo, ()), looked.redo)
                ), group="undo")  # fmt: skip

        if not self._asked:
            self.push_screen(UndoPreview(looked.answer, looked.redo, self.theme_variables), decided)

    @on(NotTaken)
    def _not_taken(self, event: NotTaken) -> None:
        say(self.screen, event.error)

    @on(TakenBack)
    def _taken(self, event: TakenBack) -> None:
        answer, redo = event.answer, event.redo
        if answer["changed"]:
            text = told(answer, redo) + self.way_back(undone=not redo)
            self.notify(text, severity="warning" if answer["skipped"] else "information", markup=False)
        elif answer["skipped"]:
            self.notify("\n".join(stays(answer)), severity="warning", markup=False)
        else:
            self.notify("There is nothing to do again" if redo else "There is nothing to undo", markup=False)
        if isinstance(self.screen, Place):
            back = [change["id"] for change in answer["changes"] if _is_back(change)]
            if back:
                self.screen.seek(back[0])
            self.screen.reload()

    def way_back(self, *, undone: bool = False) -> str:
        """A line that names the key which takes back what was just done, or does again what was just `undone`."""
        id, does = ("app.redo", "does it again") if undone else ("app.undo", "takes it back")
        keys = actions.keys_of(actions.BY_ID[id], self.prefs.keys)
        return f"\n{self.get_key_display(actions.BY_ID[id].binding().with_key(keys[-1]))} {does}" if keys else ""


def _take(daemon: Client, seen: dict[str, Any], redo: bool, bulks: Sequence[Bulk]) -> dict[str, Any]:
    """Take back what was seen, and nothing that was done since."""
    if redo:
        return daemon.undo(1, redo=True)
    action = seen["undone"][0]
    number, since = action["action"], action["at"]
    bulk = next((bulk for bulk in bulks if bulk.first <= number <= bulk.last), None)
    if bulk is not None:
        since, number = bulk.since, bulk.last
    return daemon.undo_all(action["client"], since, upto=number)


def told(answer: dict[str, Any], redo: bool) -> str:
    """What was done, in a line or some."""
    count, changes = answer["changed"], answer["changes"]
    if count == 1 and changes:
        what = f"“{shown.fit(shown.one_line(changes[0]['preview']), PREVIEW).rstrip()}”"
    else:
        what = f"{count:,} memories"
    became = {_became(change) for change in changes}
    how = became.pop() if len(became) == 1 else "as before"
    are = "" if how.startswith("as ") else "is " if count == 1 else "are "
    return "\n".join([f"{'Done again' if redo else 'Undone'}: {what} {are}{how}", *stays(answer)])


def _is_back(change: dict[str, Any]) -> bool:
    """Whether a memory is in a list again that it had left."""
    return change["after"].get("deleted") is False or change["after"].get("state") in ("active", "review")


def _became(change: dict[str, Any]) -> str:
    """What a memory is now, in a word or some."""
    after = change["after"]
    if "deleted" in after:
        return "deleted" if after["deleted"] else "back"
    if "state" in after:
        return str(after["state"])
    return f"as before: {saving.named(after)}" if len(after) < 4 else "as before"


def stays(answer: dict[str, Any]) -> list[str]:
    """What was left alone, and why."""
    skipped = answer["skipped"]
    lines = [f"{one['id'][-6:]} stays as it is: {one['reason']}" for one in skipped[:2]]
    return lines + ([f"and {len(skipped) - 2:,} more"] if len(skipped) > 2 else [])

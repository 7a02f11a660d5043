"""Which memories of a list an action is about: the one under the cursor, the marked ones, or one that was read whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import on
from textual.message import Message

from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import saving
from jmem.tui.screens.base import Missed, Place
from jmem.tui.tended import Copied, Marked, slim
from jmem.tui.widgets.results import Results

Memory = dict[str, Any]
_COPIED = 2_000
"""Memories whose texts are read to be copied."""


class Choosing(Place):
    """A place with `Results`, whose memories are marked and copied."""

    @property
    def results(self) -> Results:
        """The list."""
        return self.query_one(Results)

    def _work(self, call: Callable[[Client], Message]) -> None:
        """Ask the daemon; what comes of it is a message."""
        self.fetch(call, lambda message: message, group="tend")

    # ---- marks

    def action_mark_all(self) -> None:
        """All, however long the list is; none when all are."""
        results = self.results
        if results.total and len(results.marked) >= results.total:
            results.marked.clear()
            self._marks_changed()
            return
        view, total = results.view, results.total
        if view.searching or len(results.rows) >= total:
            self._mark_these(Marked(list(results.rows.values()), first=True))
            return

        async def run() -> None:
            """Page by page; one of long texts has fewer than were asked for."""
            offset, held = 0, [Memory()]
            try:
                while held and offset < total and view == results.view:
                    page = await self.remote(
                        lambda daemon, offset=offset: view.page(daemon, offset, limit=saving.STEP)  # type: ignore[misc]
                    )
                    held = [slim(memory) for memory in page["memories"]]
                    self.post_message(Marked(held, first=offset == 0))
                    offset += len(held)
            except JmemError as error:
                self.post_message(Missed(error))

        self.begin(run, group="mark", exclusive=True)

    @on(Marked)
    def _mark_these(self, marked: Marked) -> None:
        results = self.results
        if marked.first:
            results.marked.clear()
        results.marked.update((memory["id"], memory) for memory in marked.memories)
        self._marks_changed()

    def _marks_changed(self) -> None:
        """Show how many are marked."""
        self.results.refresh()

    def action_copy(self) -> None:
        """The text, or all texts with an empty line between."""
        memories = self.results.chosen
        if len(memories) == 1 and memories[0] is self.results.current:
            self._copy(Copied([memories[0]["content"]]))
        elif len(memories) > _COPIED:
            self.notify(f"More than {_COPIED:,} at once: `jmem export` writes them to a file", severity="warning", markup=False)  # fmt: skip
        elif memories:
            ids = [memory["id"] for memory in memories]
            held = {memory["id"]: memory["content"] for memory in memories if not memory.get("slim")}
            self._work(lambda daemon: Copied([held[id] if id in held else daemon.get(id)["content"] for id in ids]))

    def action_copy_id(self) -> None:
        """Of one, or a line each of all that are marked."""
        if memories := self.results.chosen:
            self.app.copy_to_clipboard("\n".join(memory["id"] for memory in memories))
            what = f"the id {memories[0]['id']}" if len(memories) == 1 else f"{len(memories):,} ids"
            self.notify(f"Copied {what}", markup=False)

    @on(Copied)
    def _copy(self, copied: Copied) -> None:
        self.app.copy_to_clipboard("\n\n".join(copied.texts))
        self.notify("Copied" if len(copied.texts) == 1 else f"Copied {len(copied.texts):,} memories", markup=False)

"""Memories that say nearly the same, side by side: keep one, make one of both, or note that they are not the same."""

from __future__ import annotations

import asyncio
from typing import Any

from textual import on
from textual.content import Content
from textual.message import Message

from jmem.core.errors import JmemError
from jmem.tui.screens.base import Missed
from jmem.tui.screens.pairs import Judging, Settled

STEP_PAIRS, ENOUGH = 50, 300
"""Pairs of one answer, and waiting ones at which the search for more rests."""
ACTIONS = 20
"""Actions elsewhere, after more of which all pairs are looked for anew."""
PAUSE_S = 0.15
"""Between two steps of the search, so that it keeps nobody else waiting."""


class Stepped(Message):
    """A part of the store was looked at."""

    def __init__(self, page: dict[str, Any], first: bool) -> None:
        super().__init__()
        self.page, self.first = page, first


class Log(Message):
    """The newest actions."""

    def __init__(self, actions: list[dict[str, Any]]) -> None:
        super().__init__()
        self.actions = actions


class DuplicatesPlace(Judging):
    """All pairs, found step by step while one is here."""

    scope = "duplicates"

    def __init__(self) -> None:
        super().__init__()
        self._scanned = self._total = 0
        self._cursor: str | None = None
        self._finished = False
        self._seen: int | None = None
        """the newest action that the pairs are as of"""

    def reload(self) -> None:
        """From the newest memory on."""
        self._finished, self._cursor, self._scanned = False, None, 0
        self.begin(self._scan, group="scan", exclusive=True)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.fetch(lambda daemon: daemon.log({"limit": ACTIONS})["actions"], Log, group="log", exclusive=True)
        if not self._finished:  # also from the start: a question may have come up before the first step
            self.begin(self._scan, group="scan", exclusive=True)

    def catch_up(self) -> None:
        """The log tells what was changed."""

    @on(Log)
    def _caught_up(self, log: Log) -> None:
        """Look again at what was changed while one was elsewhere."""
        seen, self._seen = self._seen, max((action["action"] for action in log.actions), default=0)
        if seen is None:
            return
        missed = [action for action in log.actions if action["action"] > seen]
        if len(missed) == ACTIONS or any(action["count"] > len(action["ids"]) for action in missed):
            self.reload()
        else:
            self._stale.update(id for action in missed for id in action["ids"])
            self._look_again()

    def on_screen_suspend(self) -> None:
        """Nothing is looked for while nobody looks."""
        self.workers.cancel_group(self, "scan")

    async def _scan(self) -> None:
        cursor, first = self._cursor, self._cursor is None
        while len(self.pairs.items) < ENOUGH or first:
            query = {"limit": STEP_PAIRS, "cursor": cursor}
            try:
                page = await self.remote(lambda daemon, query=query: daemon.duplicates(query))  # type: ignore[misc]
            except JmemError as error:
                self.post_message(Missed(error))
                return
            self.post_message(Stepped(page, first))
            cursor, first = page["next_cursor"], False
            if cursor is None:
                return
            await asyncio.sleep(PAUSE_S)

    @on(Stepped)
    def _stepped(self, step: Stepped) -> None:
        page = step.page
        self._scanned, self._total, self._cursor = page["scanned"], page["total"], page["next_cursor"]
        self._finished = self._cursor is None
        if step.first:
            self.put(page["pairs"])
        elif page["pairs"]:
            self.put([*self.pairs.items, *page["pairs"]])
        else:
            self.tell()

    @on(Settled)
    def _go_on(self) -> None:
        """Look for more where the search rested because there was enough to do."""
        resting = not any(worker.group == "scan" and worker.is_running for worker in self.workers)
        if self._cursor is not None and resting and len(self.pairs.items) < ENOUGH:
            self.begin(self._scan, group="scan", exclusive=True)

    def action_leave(self) -> None:
        """To the memories."""
        self.jmem.action_tab("memories")

    def tell(self) -> None:
        count, pane = len(self.pairs.items), self.query_one("#pairs")
        said = "pair that says" if count == 1 else "pairs that say"
        pane.border_title = Content(f"{count:,} {said} nearly the same" if count else "Near duplicates")
        looked = f"{self._scanned:,} of {self._total:,} looked at"
        pane.border_subtitle = f"all {self._total:,} looked at" if self._finished else looked
        if self._finished:
            self._empty("No two memories say nearly the same.\n\nm on a memory shows what is nearest to it.")
        else:
            self._empty(f"Looking for memories that say nearly the same…\n\n{looked}")

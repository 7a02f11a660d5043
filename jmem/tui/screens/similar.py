"""What says nearly the same as one memory, each pair side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.content import Content

from jmem.client import Client
from jmem.tui.screens.page import Page, title
from jmem.tui.screens.pairs import Judging, Near


class SimilarPage(Judging, Page):
    """What is near to one memory, which is the left one of each pair; also what is less near than in the list of all."""

    scope = "duplicates"
    LEAST = 0.75

    def __init__(self, memory: dict[str, Any]) -> None:
        super().__init__()
        self.memory = memory
        self._read = False

    def reload(self) -> None:
        self._again((self.memory["id"],))

    def _again(self, ids: Sequence[str]) -> None:
        id, least = self.memory["id"], self.LEAST

        def near(daemon: Client) -> Near:
            memory = daemon.get(id)
            found = daemon.similar(id, limit=100, least=least)
            return Near([id], [{**one, "a": memory, "b": one["memory"]} for one in found])

        self.fetch(near, lambda found: found, group="near", exclusive=True)

    @on(Near)
    def _here(self) -> None:
        self._read = True
        self.tell()

    def tell(self) -> None:
        count, pane = len(self.pairs.items), self.query_one("#pairs")
        pane.border_title = Content(f"{count:,} near to “{title(self.memory, 40)}”" if self._read else "Near to it")
        self._empty("Nothing says nearly the same.\n\nEsc goes back." if self._read else "")

"""Texts of one memory that were written apart, side by side: keep one, keep both, or write one of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from jmem.cli.text import age
from jmem.client import Client
from jmem.core.errors import Conflict, JmemError, NotFound
from jmem.tui import diff, shown
from jmem.tui.feed import Changed
from jmem.tui.screens.merging import Merging
from jmem.tui.screens.page import Page
from jmem.tui.screens.pairs import side_by_side
from jmem.tui.widgets.rows import Rows

Apart = dict[str, Any]
"""One line: the memory, all its versions, the live one on the `left` and one other on the `right`"""
LOW = 18
MANY = 500
"""Conflicts that are shown at once."""
SETTLE_S = 0.4
_DECIDES = frozenset(("keep_left", "keep_right", "both", "write"))


class Found(Message):
    """What was written apart: the first of it, and of how many memories there is any."""

    def __init__(self, found: list[Apart], memories: int) -> None:
        super().__init__()
        self.found, self.memories = found, memories


class Settled(Message):
    """One is dealt with."""

    def __init__(self, said: str) -> None:
        super().__init__()
        self.said = said


class ApartList(Rows[Apart]):
    """One line for each text beside the live one."""

    def key(self, item: Apart) -> Any:
        return item["memory"]["id"], item["right"]["stamp"]

    def line(self, item: Apart, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        text.append(f" {item['memory']['id'][-6:]} ", self.style("accent"))
        room = max((width - text.cell_len - 5) // 2, 6)
        text.append(shown.fit(shown.headline(item["left"]), room))
        text.append(" │ ", self.style("dim"))
        text.append(shown.fit(shown.headline(item["right"]), max(width - text.cell_len - 1, 6)))
        return text


class TextSide(VerticalScroll):
    """One of the two texts."""

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)


class Writing(Merging):
    """One text in the place of all; gives True once it is saved."""

    def __init__(self, apart: Apart) -> None:
        memory = apart["memory"]
        texts = [{**memory, "content": version["content"]} for version in apart["versions"]]
        super().__init__({"a": texts[0], "b": texts[-1]})
        self._apart = apart
        self.heading, self.remark = "One text of both", f"{memory['id'][-6:]}; the others stay in its history"

    @property
    def _begun(self) -> str:
        return "\n\n".join(dict.fromkeys(version["content"] for version in self._apart["versions"]))

    def hand(self, daemon: Client, text: str, secrets: str) -> object:
        """Settle it by this text."""
        ask = {"how": "text", "content": text, "stamps": _stamps(self._apart), "secrets": secrets}
        return daemon.settle(self._apart["memory"]["id"], ask)


class ConflictsPage(Page):
    """All memories with texts that were written apart."""

    scope = "conflicts"
    DEFAULT_CSS = side_by_side("ConflictsPage", "ApartList", "TextSide")
    AUTO_FOCUS = "ApartList"

    def __init__(self) -> None:
        super().__init__()
        self.rows = ApartList()
        self._busy = False

    def content(self) -> ComposeResult:
        with Vertical(id="apart", classes="pane"):
            yield self.rows
            yield Static("", id="empty", markup=False)
        with Horizontal(id="both"):
            yield TextSide(id="left", classes="pane")
            yield TextSide(id="right", classes="pane")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < LOW, "-low")
        self._fit()

    def reload(self) -> None:
        self.fetch(_first, lambda found: Found(_lines(found[0]), found[1]), group="conflicts", exclusive=True)

    def memory_changed(self, change: Changed) -> None:
        self.soon(SETTLE_S, self.reload)

    @on(Found)
    def _found(self, found: Found) -> None:
        self.rows.show(found.found)
        here = len({one["memory"]["id"] for one in found.found})
        first = f"; the first {here:,}" if here < found.memories else ""
        self.query_one("#apart").border_title = Content(f"{found.memories:,} with texts written apart{first}")
        self.set_class(not found.found, "-empty")
        self.query_one("#empty", Static).update(
            "No text was written apart.\n\nEsc goes back." if not found.found else ""
        )
        self._fit()
        self.refresh_bindings()

    def _fit(self) -> None:
        """The list takes the lines that it needs, and two fifths at most."""
        count, border = len(self.rows.items), 0 if self.has_class("-low") else 2
        lines = max(3, min(count, (self.size.height - 2) * 2 // 5 - border)) + border
        self.query_one("#apart").styles.height = lines if count else "1fr"

    @on(Rows.Moved)
    def _moved(self) -> None:
        apart = self.rows.current
        texts = (Text(), Text())
        if apart is not None:
            texts = diff.sides(apart["left"]["content"], apart["right"]["content"], self.app.theme_variables)
        for name, text in zip(("left", "right"), texts, strict=True):
            pane = self.query_one(f"#{name}", TextSide)
            pane.scroll_home(animate=False)
            pane.query_one(Static).update(text)
            if apart is not None:
                said = "live: it is found" if apart[name]["live"] else "kept"
                pane.border_title = Content(f"{name}, {said}")
                who, where = shown.one_line(apart[name]["client"]), apart[name]["where"]
                pane.border_subtitle = Content(f"by {who} · {where} · {age(apart[name]['at'])}")

    # ---- doing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a conflict there is nothing to decide."""
        if action in _DECIDES and not self.rows.items:
            return False
        return super().check_action(action, parameters)

    def _settle(self, said: str, ask: Callable[[Apart], dict[str, Any]]) -> None:
        apart = self.rows.current
        if apart is None or self._busy:
            return
        self._busy = True
        request = {**ask(apart), "stamps": _stamps(apart)}
        self.fetch(
            lambda daemon: daemon.settle(apart["memory"]["id"], request), lambda done: Settled(said), group="settle"
        )

    def missed(self, error: JmemError) -> None:
        self._busy = False
        super().missed(error)
        if isinstance(error, Conflict | NotFound):
            self.reload()

    def action_keep_left(self) -> None:
        """The live text stays."""
        self._settle("Kept the left one", lambda apart: {"how": "keep", "version": apart["left"]["stamp"]})

    def action_keep_right(self) -> None:
        """The other text takes its place."""
        self._settle("Kept the right one", lambda apart: {"how": "keep", "version": apart["right"]["stamp"]})

    def action_both(self) -> None:
        """Two memories."""
        self._settle("Two memories", lambda apart: {"how": "both"})

    def action_write(self) -> None:
        """One text of both."""

        def closed(saved: bool | None) -> None:
            if saved:
                self.post_message(Settled("One text of both"))

        if (apart := self.rows.current) is not None:
            self.app.push_screen(Writing(apart), closed)

    @on(Settled)
    def _settled(self, settled: Settled) -> None:
        self._busy = False
        self.notify(f"{settled.said}. Undo takes it back.", markup=False)
        self.reload()


def _first(daemon: Client) -> tuple[list[dict[str, Any]], int]:
    """Up to MANY conflicts, however few fit into one answer, and how many there are."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": MANY}
    while True:
        page = daemon.conflicts(query)
        found += page["conflicts"]
        if not page["next_cursor"]:
            return found, len(found)
        if len(found) >= MANY:
            return found, max(len(found), daemon.request("GET", "/sync")["conflicts"])
        query = {"limit": MANY - len(found), "cursor": page["next_cursor"]}


def _lines(conflicts: list[dict[str, Any]]) -> list[Apart]:
    """One line for each text that is not live."""
    return [
        {**conflict, "left": conflict["versions"][0], "right": other}
        for conflict in conflicts for other in conflict["versions"][1:]
    ]  # fmt: skip


def _stamps(apart: Apart) -> list[str]:
    return [version["stamp"] for version in apart["versions"]]

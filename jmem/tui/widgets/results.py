"""The list of memories: any number of rows, of which only what is on the screen is ever drawn or read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive

from jmem.cli.text import age
from jmem.tui import shown
from jmem.tui.view import PAGE, View
from jmem.tui.widgets.rows import Lines

Memory = dict[str, Any]
KEPT = 40 * PAGE
"""Rows that are kept; those far from the screen are dropped first."""
_AGE = 5


def tags_in(tags: Sequence[str], room: int) -> str:
    """As many tags as there is room for, and how many more there are; the first one in any case, cut."""
    names = ["#" + shown.one_line(tag) for tag in tags]
    for count in range(len(names), 0, -1):
        text = " ".join(names[:count]) + (f" +{len(names) - count}" if count < len(names) else "")
        if shown.cell_len(text) <= room:
            return text
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return shown.fit(names[0], max(room - len(more), 4)).rstrip() + more if names else ""


def _held(memory: Memory) -> list[str]:
    """What else sets a memory apart: that it never leaves this machine, that it ends."""
    words = ["local"] if memory.get("privacy") == "local" else []
    return [*words, f"ends {age(memory['expires_at'])}"] if memory.get("expires_at") else words


class Results(Lines[Memory]):
    """Rows by their place in the list. Rows that it lacks are asked for by `Wanted` and given by `put`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("shift+up", "mark_move(-1)", show=False), Binding("shift+down", "mark_move(1)", show=False),
    ]  # fmt: skip
    total: reactive[int] = reactive(0)

    class Wanted(Message):
        """Rows from `offset` on are on the screen and not here."""

        def __init__(self, offset: int) -> None:
            super().__init__()
            self.offset = offset

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rows: dict[int, Memory] = {}
        self.marked: dict[str, Memory] = {}
        self.words: tuple[str, ...] = ()
        self.sort = ""
        self.view = View()
        """what the rows answer"""
        self._wanted: set[int] = set()
        self._sought = ""

    # ---- what it holds

    def show(self, rows: Sequence[Memory], total: int, *, offset: int = 0, words: Sequence[str] = (), sort: str = "", keep: bool = True) -> None:  # fmt: skip
        """Another list, of which the rows from `offset` on are here; with `keep` the cursor stays on its memory."""
        held = self.current
        self.rows = dict(enumerate(rows, offset))
        self._wanted.clear()
        self.words, self.sort = tuple(words), sort
        self.total = total
        self.virtual_size = Size(self.size.width, total)
        place = self._place_of(held["id"]) if keep and held else None
        self.cursor = min(self.cursor, max(total - 1, 0)) if keep else 0
        if place is not None:
            self.cursor = place
        self._sought = self._sought if keep else ""
        self._go_to_sought()
        self._follow()
        self.refresh()
        self.post_message(self.Moved(self))

    def seek(self, id: str) -> None:
        """Stand on a memory as soon as it is here, unless the person moves before."""
        self._sought = id
        self._go_to_sought()

    def _go_to_sought(self) -> None:
        if (place := self._place_of(self._sought)) is not None:
            self._sought = ""
            self.cursor = place

    def put(self, offset: int, rows: Sequence[Memory]) -> None:
        """Rows that were asked for."""
        before = self.current
        self._wanted.discard(offset)
        self.rows.update(enumerate(rows, offset))
        if len(self.rows) > KEPT:
            near = sorted(self.rows, key=lambda at: abs(at - self.cursor))[:KEPT]
            self.rows = {at: self.rows[at] for at in near}
        self.refresh()
        if self.current is not before:
            self.post_message(self.Moved(self))

    def failed(self, offset: int) -> None:
        """Rows that were asked for won't come; they are asked for again when they are drawn again."""
        self._wanted.discard(offset)

    @property
    def count(self) -> int:
        return self.total

    def item(self, at: int) -> Memory | None:
        return self.rows.get(at)

    @property
    def chosen(self) -> list[Memory]:
        """The marked memories, else the one under the cursor."""
        return list(self.marked.values()) or ([self.current] if self.current else [])

    def _place_of(self, id: str) -> int | None:
        return next((at for at, memory in self.rows.items() if memory["id"] == id), None)

    # ---- moving and marking

    def go(self, at: int, step: int = 1) -> None:
        self._sought = ""
        super().go(at, step)

    def action_mark_move(self, step: int) -> None:
        """Mark, and go on."""
        self.mark(on=True)
        self.cursor += step

    def mark(self, *, on: bool | None = None) -> None:
        """Mark the memory under the cursor, or take its mark away."""
        if (memory := self.current) is None:
            return
        if memory["id"] in self.marked and on is not True:
            del self.marked[memory["id"]]
        else:
            self.marked[memory["id"]] = memory
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        super().on_click(event)
        if event.ctrl and event.chain == 1 and self.scroll_offset.y + event.y == self.cursor:
            self.mark()

    # ---- drawing

    def lacks(self, at: int) -> None:
        """Ask for it, with what is missing around it."""
        offset = at
        while offset > 0 and offset - 1 not in self.rows and at - offset < PAGE // 2:
            offset -= 1
        if not any(start <= at < start + PAGE for start in self._wanted):
            self._wanted.add(offset)
            self.post_message(self.Wanted(offset))

    def line(self, memory: Memory, number: int, width: int) -> Text:
        marked = memory["id"] in self.marked
        state = shown.state_of(memory)
        right = shown.age_of(memory, self.sort).rjust(_AGE)
        beside: list[tuple[str, str]] = []
        if state != "active":
            beside.append((state, "warn"))
        if width >= 48:
            beside += [(word, "warn") for word in _held(memory)]
        if width >= 40:
            tags = tags_in(memory["tags"], width // 4)
            beside += [(tags, "good")] if tags else []
            beside.append((shown.fit(shown.one_line(memory["client"]), 12), "dim")) if width >= 90 else None
        taken = sum(shown.cell_len(text) + 2 for text, _ in beside)
        room = max(width - 2 - taken - _AGE - 1, 8)
        match = self.style("accent")
        line = Text(end="", no_wrap=True)
        line.append("▌ " if marked else "  ", self.style("name"))
        body = shown.marked(shown.fit(shown.headline(memory), room), self.words, match)
        if state != "active":
            body.stylize(self.style("dim"))
        line.append_text(body)
        for text, kind in beside:
            line.append("  ")
            line.append(text, self.style(kind))
        line.append(right + " ", self.style("dim"))
        return line

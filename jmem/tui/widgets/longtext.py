"""A long text that one reads: folded to the width, only what is on the screen is drawn, searched with every match marked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from jmem.tui import shown

_STEP = 512
"""Characters whose width is looked at together."""


def folded(text: str, columns: int) -> list[tuple[int, int]]:
    """Where each line of `text` begins and ends when it is broken, at spaces where it can be, to so many columns."""
    lines: list[tuple[int, int]] = []
    start = 0
    for paragraph in text.split("\n"):
        end = start + len(paragraph)
        lines += _fold(text, start, end, max(columns, 1))
        start = end + 1
    return lines


def _fold(text: str, start: int, end: int, columns: int) -> list[tuple[int, int]]:
    if end - start <= columns and shown.cell_len(text[start:end]) <= columns:
        return [(start, end)]
    lines = []
    while start < end:
        stop = _reach(text, start, end, columns)
        if stop < end:
            space = text.rfind(" ", start + 1, stop + 1)
            stop = space if space > start else stop
        lines.append((start, stop))
        start = stop + 1 if stop < end and text[stop] == " " else stop
    return lines


def _reach(text: str, start: int, end: int, columns: int) -> int:
    """How far `columns` reach from `start`; a character at least."""
    low, high = start + 1, min(end, start + max(columns, 1))
    if text[start:high].isascii():
        return high
    high = min(end, start + columns + _STEP)
    while low < high:  # the width only grows with the length
        middle = (low + high + 1) // 2
        if shown.cell_len(text[start:middle]) <= columns:
            low = middle
        else:
            high = middle - 1
    while low < end and _joins(text[low]) and low > start + 1:
        low += 1
    return low


def _joins(character: str) -> bool:
    """Whether it belongs to the one before it."""
    return character in "\u200d\ufe0f" or shown.cell_len(character) == 0


def _nothing(columns: int) -> list[Text]:
    return []


class LongText(ScrollView, can_focus=True):
    """`show` gives it a text and lines to stand below; `find` marks what is looked for and goes to the first match."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"longtext--match", "longtext--here", "longtext--word"}
    DEFAULT_CSS = """
    LongText { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; background: transparent; padding: 0 1; }
    LongText > .longtext--word { color: $accent; text-style: bold; }
    LongText > .longtext--match { background: $accent 35%; }
    LongText > .longtext--here { background: $accent; color: $background; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", show=False), Binding("down,j", "scroll_down", show=False),
        Binding("pageup,ctrl+b", "page_up", show=False), Binding("pagedown,space", "page_down", show=False),
        Binding("home,g", "scroll_home", show=False), Binding("end,G", "scroll_end", show=False),
    ]  # fmt: skip

    class Found(Message):
        """The match one stands at, from 1, of how many; 0 of 0 where there is none."""

        def __init__(self, at: int, of: int) -> None:
            super().__init__()
            self.at, self.of = at, of

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._text, self._below = "", list[Text]()
        self._under: Callable[[int], list[Text]] = _nothing
        self._words: tuple[str, ...] = ()
        self._lines: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self._columns = 0
        self._sought, self._matches, self._at = "", list[int](), 0

    def show(self, text: str, below: Callable[[int], list[Text]] = _nothing, words: Sequence[str] = ()) -> None:
        """Another text, which is harmless already; `words` are marked in it, `below` gives the lines under it for a
        number of columns."""
        self._text, self._under, self._words = text, below, tuple(words)
        self._columns = 0
        self._layout()
        self._seek()

    def on_resize(self, event: events.Resize) -> None:
        self._layout()

    def _layout(self) -> None:
        columns = self.scrollable_content_region.width
        if columns == self._columns or columns <= 0:
            return
        top = self._lines[self.scroll_offset.y][0] if self.scroll_offset.y < len(self._lines) else None
        self._columns, self._below = columns, self._under(columns)
        self._lines = folded(self._text, columns)
        self._starts = [start for start, _ in self._lines]
        self.virtual_size = Size(columns, len(self._lines) + len(self._below))
        if top is not None:
            self.scroll_to(y=self._line_of(top), animate=False, force=True)
        self.refresh()

    def _line_of(self, place: int) -> int:
        return max(bisect_right(self._starts, place) - 1, 0)

    # ---- looking for something

    def find(self, sought: str) -> None:
        """Mark every place of `sought`, upper and lower case alike, and go to the first one from here on."""
        self._sought = sought.lower()
        self._seek()
        here = self._lines[self.scroll_offset.y][0] if self.scroll_offset.y < len(self._lines) else 0
        self._at = next((n for n, place in enumerate(self._matches) if place >= here), 0)
        self._tell()

    def step(self, by: int) -> None:
        """To the next match, or the one before."""
        if self._matches:
            self._at = (self._at + by) % len(self._matches)
        self._tell()

    def _seek(self) -> None:
        self._matches, self._at = [], 0
        text, sought = self._text.lower(), self._sought
        if len(text) != len(self._text):  # some letters have a longer lower case
            text = "".join(c.lower() if len(c.lower()) == 1 else c for c in self._text)
        place = text.find(sought) if sought else -1
        while place >= 0:
            self._matches.append(place)
            place = text.find(sought, place + len(sought))
        self.refresh()

    def _tell(self) -> None:
        if self._matches:
            line = self._line_of(self._matches[self._at])
            height = max(self.size.height, 1)
            if not self.scroll_offset.y <= line < self.scroll_offset.y + height:
                self.scroll_to(y=max(line - height // 3, 0), animate=False, force=True)
        self.refresh()
        self.post_message(self.Found(self._at + 1 if self._matches else 0, len(self._matches)))

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        width, at = self.size.width, self.scroll_offset.y + y
        if at < len(self._lines):
            text = self._drawn(*self._lines[at])
        elif at - len(self._lines) < len(self._below):
            text = self._below[at - len(self._lines)]
        else:
            return Strip([Segment(" " * width, self.rich_style)], width)
        base = self.rich_style
        return Strip(list(text.render(self.app.console)), text.cell_len).adjust_cell_length(width).apply_style(base)

    def _drawn(self, start: int, end: int) -> Text:
        def style(name: str) -> Style:
            return self.get_component_rich_style(f"longtext--{name}", partial=True)

        line = shown.marked(self._text[start:end], self._words, style("word"))
        length = len(self._sought)
        for number in range(bisect_right(self._matches, start - length), len(self._matches)):
            place = self._matches[number]
            if place >= end:
                break
            line.stylize(
                style("here" if number == self._at else "match"), max(place - start, 0), place + length - start
            )
        return line

"""Lists of anything, of which only what is on the screen is drawn: each item takes the same few lines.

`Lines` is what all of them have: a cursor, keys, clicks, drawing. `Rows` holds its items; `Results`, in its own module,
holds only those near the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

T = TypeVar("T")


class Lines(ScrollView, Generic[T], can_focus=True):
    """A subclass says how many items there are (`count`), which one stands where (`item`), and how one looks (`line`)."""

    LINES: ClassVar[int] = 1
    """Lines of one item."""
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--row", "rows--cursor", "rows--dim", "rows--head", "rows--accent", "rows--good", "rows--bad", "rows--warn",
        "rows--name",
    }  # fmt: skip
    DEFAULT_CSS = """
    Lines { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; background: transparent; }
    Lines > .rows--row { color: $foreground; }
    Lines > .rows--cursor { background: $primary 18%; }
    Lines:focus > .rows--cursor { background: $primary 38%; }
    Lines > .rows--dim { color: $dim; }
    Lines > .rows--head { color: $secondary; text-style: bold; }
    Lines > .rows--accent { color: $accent; text-style: bold; }
    Lines > .rows--good { color: $success; }
    Lines > .rows--bad { color: $error; }
    Lines > .rows--warn { color: $warning; }
    Lines > .rows--name { color: $primary; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False), Binding("down,j", "move(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False), Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "edge(-1)", show=False), Binding("end,G", "edge(1)", show=False),
    ]  # fmt: skip
    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor stands on another item, or on none; `control` is the list."""

        def __init__(self, rows: Lines[Any]) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Lines[Any]:
            return self.rows

    class Chosen(Moved):
        """An item was clicked twice."""

    # ---- what a subclass says

    @property
    def count(self) -> int:
        """How many items there are."""
        raise NotImplementedError

    def item(self, at: int) -> T | None:
        """The item of a place; None while it is not here."""
        raise NotImplementedError

    def line(self, item: T, number: int, width: int) -> Text:
        """Line `number` of an item, in at most `width` columns."""
        raise NotImplementedError

    def passable(self, item: T) -> bool:
        """Whether the cursor may stand on it; headings are passed over."""
        return True

    def lacks(self, at: int) -> None:
        """An item that is not here is to be drawn."""

    # ---- where one stands

    @property
    def current(self) -> T | None:
        """The item under the cursor."""
        return self.item(self.cursor) if 0 <= self.cursor < self.count else None

    def style(self, name: str) -> Style:
        """The style of a component class, over what lies below."""
        return self.get_component_rich_style(f"rows--{name}", partial=True)

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        if before != after:
            self._follow()
            self.refresh()
            self.post_message(self.Moved(self))

    def _follow(self) -> None:
        at = self.cursor
        while at > 0 and (above := self.item(at - 1)) is not None and not self.passable(above):
            at -= 1  # a heading is seen with its first item
        top = at * self.LINES
        self.scroll_to_region(
            Region(0, top, 1, (self.cursor + 1) * self.LINES - top), animate=False, force=True, x_axis=False
        )

    def _standable(self, at: int, step: int) -> int:
        """The place, or where a heading stands there the next one in a direction, or else in the other one."""
        at = self.validate_cursor(at)
        for way in (step, -step):
            here = at
            while 0 <= here < self.count:
                item = self.item(here)
                if item is None or self.passable(item):
                    return here
                here += 1 if way > 0 else -1
        return at

    def go(self, at: int, step: int = 1) -> None:
        """Where the person wants to stand, coming in a direction."""
        self.cursor = self._standable(at, step)

    def action_move(self, step: int) -> None:
        """Up or down."""
        self.go(self.cursor + step, step)

    def action_page(self, step: int) -> None:
        """A screen up or down."""
        self.go(self.cursor + step * max(self.size.height // self.LINES - 1, 1), step)

    def action_edge(self, step: int) -> None:
        """To the first or the last."""
        self.go(0 if step < 0 else self.count - 1, -step)

    def on_click(self, event: events.Click) -> None:
        at = (self.scroll_offset.y + event.y) // self.LINES
        if at < self.count and at == self._standable(at, 1):
            self.go(at)
            if event.chain == 2:
                self.post_message(self.Chosen(self))

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        at, number = divmod(self.scroll_offset.y + y, self.LINES)
        if at >= self.count:
            return Strip.blank(width, self.rich_style)
        base = self.rich_style + self.style("row")
        item = self.item(at)
        if at == self.cursor and (item is None or self.passable(item)):
            base += Style(bgcolor=self.get_component_rich_style("rows--cursor").bgcolor)
        if item is None:
            self.lacks(at)
        text = self.line(item, number, width) if item is not None else Text("  …")
        strip = Strip(list(text.render(self.app.console, end="")))
        return strip.adjust_cell_length(width, base).apply_style(base)


class Rows(Lines[T]):
    """Items in order. A subclass says how one looks (`line`) and what it is known by (`key`)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.items: Sequence[T] = ()

    @property
    def count(self) -> int:
        return len(self.items)

    def item(self, at: int) -> T | None:
        return self.items[at]

    def key(self, item: T) -> Any:
        """What an item is known by when the list is another one."""
        return item

    def show(self, items: Sequence[T], *, keep: bool = True) -> None:
        """Another list; with `keep` the cursor stays on its item, and the item on its line of the screen."""
        held, old = self.current, self.cursor
        self.items = items
        self.virtual_size = Size(self.size.width, len(items) * self.LINES)
        place = None
        if keep and held is not None:
            key = self.key(held)
            place = next((at for at, item in enumerate(items) if self.key(item) == key), None)
        wanted = place if place is not None else min(old, len(items) - 1) if keep else 0
        moved = wanted - old
        with self.prevent(self.Moved):
            self.cursor = max(wanted, 0)
        if place is not None and moved and old:
            self.scroll_to(y=self.scroll_offset.y + moved * self.LINES, animate=False, force=True)
        self.go(self.cursor)
        self._follow()
        self.refresh()
        self.post_message(self.Moved(self))

"""A list of anything, of which only what is on the screen is drawn: each item takes the same few lines."""

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


class Rows(ScrollView, Generic[T], can_focus=True):
    """Items in order. A subclass says how one looks (`line`) and what it is known by (`key`)."""

    LINES: ClassVar[int] = 1
    """Lines of one item."""
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--row", "rows--cursor", "rows--dim", "rows--head", "rows--accent", "rows--good", "rows--bad", "rows--warn",
        "rows--name",
    }  # fmt: skip
    DEFAULT_CSS = """
    Rows { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; background: transparent; }
    Rows > .rows--row { color: $foreground; }
    Rows > .rows--cursor { background: $primary 18%; }
    Rows:focus > .rows--cursor { background: $primary 38%; }
    Rows > .rows--dim { color: $dim; }
    Rows > .rows--head { color: $secondary; text-style: bold; }
    Rows > .rows--accent { color: $accent; text-style: bold; }
    Rows > .rows--good { color: $success; }
    Rows > .rows--bad { color: $error; }
    Rows > .rows--warn { color: $warning; }
    Rows > .rows--name { color: $primary; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False), Binding("down,j", "move(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False), Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "edge(-1)", show=False), Binding("end,G", "edge(1)", show=False),
    ]  # fmt: skip
    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor stands on another item; `control` is the list."""

        def __init__(self, rows: Rows[Any]) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows[Any]:
            return self.rows

    class Chosen(Moved):
        """An item was clicked twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.items: Sequence[T] = ()

    # ---- what a subclass says

    def line(self, item: T, number: int, width: int) -> Text:
        """Line `number` of an item, in at most `width` columns."""
        raise NotImplementedError

    def key(self, item: T) -> Any:
        """What an item is known by when the list is another one."""
        return item

    def passable(self, item: T) -> bool:
        """Whether the cursor may stand on it; headings are passed over."""
        return True

    # ---- what it holds

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
        self._step_over(1)
        self._follow()
        self.refresh()
        self.post_message(self.Moved(self))

    @property
    def current(self) -> T | None:
        """The item under the cursor."""
        return self.items[self.cursor] if 0 <= self.cursor < len(self.items) else None

    def style(self, name: str) -> Style:
        """The style of a component class, over what lies below."""
        return self.get_component_rich_style(f"rows--{name}", partial=True)

    # ---- moving

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self.items) - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        if before != after:
            self._follow()
            self.refresh()
            self.post_message(self.Moved(self))

    def _follow(self) -> None:
        at = self.cursor
        while at > 0 and not self.passable(self.items[at - 1]):
            at -= 1  # a heading is seen with its first item
        top = at * self.LINES
        self.scroll_to_region(
            Region(0, top, 1, (self.cursor + 1) * self.LINES - top), animate=False, force=True, x_axis=False
        )

    def _step_over(self, step: int) -> None:
        """From a heading to the next item in a direction, or else in the other one."""
        for way in (step, -step):
            at = self.cursor
            while 0 <= at < len(self.items):
                if self.passable(self.items[at]):
                    self.cursor = at
                    return
                at += way

    def action_move(self, step: int) -> None:
        """Up or down."""
        at = self.cursor + step
        while 0 <= at < len(self.items) and not self.passable(self.items[at]):
            at += step
        if 0 <= at < len(self.items):
            self.cursor = at

    def action_page(self, step: int) -> None:
        """A screen up or down."""
        self.cursor += step * max(self.size.height // self.LINES - 1, 1)
        self._step_over(step)

    def action_edge(self, step: int) -> None:
        """To the first or the last."""
        self.cursor = 0 if step < 0 else len(self.items) - 1
        self._step_over(-step)

    def on_click(self, event: events.Click) -> None:
        at = (self.scroll_offset.y + event.y) // self.LINES
        if at < len(self.items) and self.passable(self.items[at]):
            self.cursor = at
            if event.chain == 2:
                self.post_message(self.Chosen(self))

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        at, number = divmod(self.scroll_offset.y + y, self.LINES)
        if at >= len(self.items):
            return Strip.blank(width, self.rich_style)
        base = self.rich_style + self.style("row")
        item = self.items[at]
        if at == self.cursor and self.passable(item):
            base += Style(bgcolor=self.get_component_rich_style("rows--cursor").bgcolor)
        text = self.line(item, number, width)
        strip = Strip(list(text.render(self.app.console, end="")))
        return strip.adjust_cell_length(width, base).apply_style(base)

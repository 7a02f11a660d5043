"""The filters beside the list: tags, clients, state, time. Choosing one filters at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from jmem.cli.text import local_time
from jmem.tui import shown
from jmem.tui.view import STATES, TIMES, View

MOST = 200
"""Tags that are listed; the others are found by typing #tag in the search."""

NOW, MOMENT = "now", "another moment…"


class Facets(OptionList):
    """One list with a heading a section; an option's id is `section:value`."""

    DEFAULT_CSS = """
    Facets { width: 24; height: 1fr; border: round $panel; border-title-color: $foreground 70%; padding: 0; background: transparent; scrollbar-size-vertical: 1; }
    Facets:focus { border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "cursor_up", show=False), Binding("j", "cursor_down", show=False),
        Binding("space", "select", show=False), Binding("g", "first", show=False), Binding("G", "last", show=False),
    ]  # fmt: skip

    class Chosen(Message):
        """A filter was switched."""

        def __init__(self, section: str, value: str) -> None:
            super().__init__()
            self.section, self.value = section, value

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.border_title = "Filters"
        self._given: tuple[View, Sequence[tuple[str, int]], dict[str, Any]] = View(), (), {}
        self._held: tuple[Any, ...] = ()

    def show(self, view: View, tags: Sequence[tuple[str, int]], stats: dict[str, Any]) -> None:
        """Draw the sections anew where something changed; the highlight stays on its line."""
        self._given = view, tags, stats
        self._draw()

    def on_resize(self) -> None:
        """Also when it is unfolded: hidden, it has no width to draw for."""
        self._draw()

    def _draw(self) -> None:
        view, tags, stats = self._given
        held = (view.tags, view.clients, view.state, view.time, view.as_of, tuple(tags[:MOST]), stats)
        if held == self._held or not self.size.width:
            return
        self._held = held
        here = self.highlighted
        id = self.get_option_at_index(here).id if here is not None and here < self.option_count else None
        states = {} if view.as_of else {**stats.get("states", {}), "deleted": None}  # what is counted, is counted now
        wanted = [tag for tag in sorted(view.tags) if tag not in dict(tags)]
        found: list[Option | None] = []
        self._section(found, "state", [(s, states.get(s)) for s in STATES if states.get(s) != 0 or s == view.state or s == "active"], {view.state})  # fmt: skip
        self._section(found, "time", [(time, None) for time in TIMES], {view.time})
        then = local_time(view.as_of) if view.as_of else ""
        self._section(found, "as of", [(word, None) for word in (NOW, then, MOMENT) if word], {then or NOW})
        clients = [(client, None if then else count) for client, count in stats.get("clients", {}).items()]
        self._section(found, "clients", clients, view.clients)
        named = [(tag, None if then else count) for tag, count in (*((tag, 0) for tag in wanted), *tags[:MOST])]
        self._section(found, "tags", named, view.tags)
        self.clear_options()
        self.add_options(found)
        if id is not None:
            self.highlighted = next((n for n, o in enumerate(self.options) if o.id == id), here)

    def _section(
        self, found: list[Option | None], name: str, values: Sequence[tuple[str, int | None]], on: Any
    ) -> None:
        if not values:
            return
        width = max(self.content_size.width, 12)
        heading = f"bold {self.app.theme_variables['secondary']}"
        found.append(Option(Text(name.upper(), style=heading), disabled=True))
        for value, count in values:
            chosen = value in on
            number = f"{count:,}" if count is not None else ""
            label = shown.fit(shown.one_line(f"#{value}" if name == "tags" else value or "-"), width - len(number) - 4)
            line = Text(f"{'●' if chosen else ' '} {label} {number}", style="bold" if chosen else "", no_wrap=True)
            found.append(Option(line, id=f"{name}:{value}"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option.id:
            section, _, value = event.option.id.partition(":")
            self.post_message(self.Chosen(section, value))

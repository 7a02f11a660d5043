"""The last line: the most useful keys of this place, as many as fit; a click runs one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.widget import Widget

from jmem.tui.actions import BY_ID, prints

HELP = "app.help"


class KeyBar(Widget):
    """Drawn from the bindings that are active now, so it never names a key that does something else.

    A screen may have `key_titles`: what an action is called there at the moment, by its id; and `unavailable`: ids of
    actions that are not to be offered now.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--title"}
    DEFAULT_CSS = """
    KeyBar { width: 100%; height: 1; dock: bottom; background: $panel; color: $foreground; }
    KeyBar > .keybar--key { color: $accent; text-style: bold; }
    KeyBar > .keybar--title { color: $foreground 80%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda screen: self.refresh())

    def render(self) -> Text:
        key = self.get_component_rich_style("keybar--key", partial=True)
        title = self.get_component_rich_style("keybar--title", partial=True)
        if self.app.screen is not self.screen:  # under a dialog, which every key goes to
            self._spans = []
            return Text.assemble((" esc ", key), ("Back ", title), no_wrap=True, end="")
        held = {}
        focused = self.app.focused
        writing = focused is not None and focused.check_consume_key("a", "a")
        for namespace, binding, enabled, _ in self.screen.active_bindings.values():
            if writing and prints(binding.key):
                continue  # it belongs to the text
            if binding.show and enabled and binding.id and binding.id in BY_ID and binding.id not in held:
                held[binding.id] = (namespace, binding)
        for id in getattr(self.screen, "unavailable", ()):
            held.pop(id, None)
        titles: Mapping[str, str] = getattr(self.screen, "key_titles", {})
        line = Text(no_wrap=True, end="")
        self._spans = []
        texts = {
            id: (f" {self.app.get_key_display(binding)} ", f"{titles.get(id, binding.description)} ")
            for id, (_, binding) in held.items()
        }
        widths = {id: cell_len("".join(parts)) for id, parts in texts.items()}
        for id in sorted(held, key=lambda id: BY_ID[id].rank):
            start = line.cell_len
            kept = widths.get(HELP, 0) if id != HELP else 0  # whatever has no room is found there
            if start + widths[id] + kept > self.size.width:
                continue
            line.append(texts[id][0], key)
            line.append(texts[id][1], title)
            self._spans.append((start, line.cell_len, held[id][1].key))
        line.append(" " * (self.size.width - line.cell_len))
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(key)

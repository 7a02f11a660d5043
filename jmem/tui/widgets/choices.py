"""What can be set, a line each: themes, keys, settings of the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text

from jmem.tui import shown
from jmem.tui.widgets.rows import Rows


@dataclass(frozen=True, slots=True)
class Setting:
    """A line. `id` is empty for a heading; `own`: it is not as it is by default; `colours` are swatches."""

    id: str
    name: str
    value: str = ""
    origin: str = ""
    about: str = ""
    own: bool = False
    on: bool = False
    colours: tuple[str, ...] = ()


class Choices(Rows[Setting]):
    """Name, value, and where the value comes from."""

    def key(self, item: Setting) -> Any:
        return item.id, item.name

    def passable(self, item: Setting) -> bool:
        return bool(item.id)

    def line(self, item: Setting, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        if not item.id:
            text.append(f" {item.name}", self.style("head"))
            return text
        text.append(" ● " if item.on else "   ", self.style("accent"))
        text.append(shown.fit(item.name, 24 if width >= 56 else 16) + " ")
        for colour in item.colours:
            text.append("██", colour)
        text.append(" " if item.colours else "")
        beside = shown.cell_len(item.origin) + 2 if item.origin and width >= 56 else 0
        room = max(width - text.cell_len - beside - 1, 4)
        text.append(shown.fit(shown.one_line(item.value), room), "bold" if item.own else "")
        if beside:
            text.append(f" {item.origin} ", self.style("dim"))
        return text

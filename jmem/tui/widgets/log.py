"""The end of the daemon's log, without what it says of every request that went well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from jmem.cli.logview import last_lines
from jmem.cli.text import local_time
from jmem.tui import shown
from jmem.tui.widgets.rows import Rows
from jmem.wire import loads

LINES_READ, LINES_SHOWN = 2_000, 200
_LEADING = ("timestamp", "level", "event")
_STYLES = {"error": "bad", "critical": "bad", "warning": "warn"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log, harmless: when, how bad, what, and the rest."""

    at: str
    level: str
    event: str
    rest: str


class Log(Rows[Entry]):
    """The newest line is the last."""

    def line(self, item: Entry, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        text.append(f" {item.at}  ", self.style("dim"))
        text.append(item.event, self.style(_STYLES[item.level]) if item.level in _STYLES else "")
        room = width - text.cell_len - 3
        if item.rest and room > 4:
            text.append("  " + shown.fit(item.rest, room), self.style("dim"))
        return text


def tail(path: str) -> tuple[Entry, ...]:
    """The last entries of a log; nothing where there is none."""
    if not Path(path).exists():
        return ()
    found = [entry for line in last_lines(path, LINES_READ) if (entry := _entry(line)) is not None]
    return tuple(found[-LINES_SHOWN:])


def _entry(line: str) -> Entry | None:
    try:
        held: Any = loads(line)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        return Entry("", "", shown.one_line(line), "") if line.strip() else None
    level, event = str(held.get("level", "")), str(held.get("event", ""))
    if event == "request" and level in ("info", "debug"):
        return None
    rest = " ".join(f"{name}={value}" for name, value in held.items() if name not in _LEADING)
    return Entry(_time(str(held.get("timestamp", ""))), level, shown.one_line(event), shown.one_line(rest))


def _time(moment: str) -> str:
    try:
        return local_time(moment)[11:] + moment[16:19]
    except ValueError:
        return moment

"""What programs asked and did, a line each, the newest on top."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from jmem.cli.render import said_of
from jmem.cli.text import age, local_time
from jmem.tui import shown
from jmem.tui.widgets.rows import Rows

Event = dict[str, Any]
_KINDS = {
    "search": "name",
    "list": "name",
    "get": "name",
    "delete": "bad",
    "purge": "bad",
    "add": "good",
    "edit": "good",
}

_PLAIN = {"list": "a list of memories, without a question", "get": "one memory by its id"}
"""What is told of a request that has no text of its own."""


class Stream(Rows[Event]):
    """An event has id, at, client, what, query, count, refused and review."""

    def key(self, item: Event) -> Any:
        return item["id"]

    def line(self, item: Event, number: int, width: int) -> Text:
        query = shown.one_line(" ".join((item["query"] or "")[: shown.HEAD_CHARS].split()))
        what, client = shown.one_line(item["what"]), shown.one_line(item["client"])
        count = f"{item['count']:,}" if item["count"] else "·"
        text = Text(no_wrap=True, end="")
        if width < 56:
            text.append(f" {age(item['at']):>3} ", self.style("dim"))
            text.append(shown.fit(client, 10) + " ")
        else:
            text.append(f" {local_time(item['at'])[11:]}{item['at'][16:19]}  ", self.style("dim"))
            text.append(shown.fit(client, 14) + " ")
        text.append(what.ljust(7) + " ", self.style(_KINDS.get(item["what"], "dim")))
        said = said_of(item)
        if said and not query:
            query, said = said, ""
        said = f"  {said}" if width - text.cell_len - len(count) - 3 > len(said) + 16 else ""
        plain = "" if query else _PLAIN.get(item["what"], "")
        room = max(width - text.cell_len - len(count) - 3 - len(said), 4)
        style = self.style("bad") if item["refused"] else self.style("dim") if plain else ""
        text.append(shown.fit(query or plain, room), style)
        text.append(said, self.style("warn"))
        text.append(f"  {count} ", self.style("dim"))
        return text


def of_access(access: Event) -> Event:
    """An entry of the access log in the form of an event."""
    count = access["detail"].get("count", len(access["answers"]))
    detail = {"refused": access["detail"].get("refused"), "review": bool(access["detail"].get("review"))}
    return {name: access[name] for name in ("id", "at", "client", "what", "query")} | {"count": count, **detail}

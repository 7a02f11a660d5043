"""What a list shows: the question and the filters, and how the daemon is asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jmem.client import Client

HITS = 100
"""Hits of a search."""
PAGE = 100
"""Memories of a list that are read at once."""
SORTS: Mapping[str, str] = {
    "-created": "newest first", "-updated": "last changed first", "-occurred": "latest event first", "created": "oldest first",
}  # fmt: skip
STATES: tuple[str, ...] = ("active", "paused", "archived", "review", "deleted")
TIMES: Mapping[str, str | None] = {
    "any time": None, "today": "today", "this week": "7 days ago", "this month": "30 days ago", "this year": "365 days ago",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """A question and filters. `state` is one of STATES; `time` one of TIMES; `as_of` the moment at which all is seen, in
    the form of `model.iso`, empty for now."""

    text: str = ""
    tags: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    state: str = "active"
    time: str = "any time"
    sort: str = "-created"
    as_of: str = ""

    @property
    def searching(self) -> bool:
        """Whether there is a question; the deleted can only be listed."""
        return bool(self.text.strip()) and self.state != "deleted"

    @property
    def filtered(self) -> bool:
        """Whether anything but the question narrows it."""
        return self != View(text=self.text, sort=self.sort)

    def filters(self) -> list[str]:
        """The filters in words."""
        words = [f"#{tag}" for tag in sorted(self.tags)] + [f"from {client}" for client in sorted(self.clients)]
        return words + [word for word, usual in ((self.state, "active"), (self.time, "any time")) if word != usual]

    def toggled(self, section: str, value: str) -> View:
        """With a tag or client switched, or with another state or time."""
        if section in ("tags", "clients"):
            switched: dict[str, Any] = {section: getattr(self, section) ^ {value}}
        else:
            usual = getattr(View(), section)
            switched = {section: usual if getattr(self, section) == value else value}
        return replace(self, **switched)

    def search(self, daemon: Client) -> dict[str, Any]:
        """The hits, with what each leg said of them."""
        return daemon.search({
            "query": self.text, "limit": HITS, "tags": sorted(self.tags), "clients": sorted(self.clients),
            "states": [self.state], "since": TIMES[self.time], "as_of": self.as_of or None, "explain": True,
        })  # fmt: skip

    def page(self, daemon: Client, offset: int, *, limit: int = PAGE, count: bool = False) -> dict[str, Any]:
        """Memories of the list from `offset` on; with `count` the length of the whole in `total`."""
        deleted = self.state == "deleted"
        return daemon.page({
            "limit": limit, "offset": offset or None, "count": count, "tag": sorted(self.tags), "client": sorted(self.clients),
            "state": "all" if deleted else self.state, "deleted": deleted, "since": TIMES[self.time], "sort": self.sort,
            "as_of": self.as_of or None,
        })  # fmt: skip

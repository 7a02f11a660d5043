"""What the editor hands to the daemon, and what comes of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.message import Message
from textual.suggester import Suggester

from jmem.cli.text import end_time, local_time
from jmem.client import Client
from jmem.core.errors import Conflict, JmemError
from jmem.core.model import tags_line, tags_of
from jmem.tui import saving, shown
from jmem.tui.remote import Remote
from jmem.tui.saving import time_of, time_text

LINES: tuple[tuple[str, str, str], ...] = (
    ("tags", "Tags", "travel, food"),
    ("occurred_at", "Happened", "yesterday, 2026-03-14, last week"),
    ("expires_at", "Expires", "the last day on which it is true: in 2 weeks"),
    ("supersedes", "Replaces", "words of the memory that this one makes out of date, or its id"),
)
"""Field, label and what stands in the line while it is empty."""
NEW: Mapping[str, Any] = {
    "content": "", "tags": [], "occurred_at": None, "expires_at": None, "privacy": "synced", "supersedes": None,
}  # fmt: skip


class Saved(Message):
    """The daemon has it; `also` names fields of others that stand beside mine."""

    def __init__(self, memory: dict[str, Any], also: str = "") -> None:
        super().__init__()
        self.memory, self.also = memory, also


class Disputed(Message):
    """Somebody else changed the same fields to something else."""

    def __init__(self, theirs: dict[str, Any], mine: dict[str, Any], fields: list[str], by: str) -> None:
        super().__init__()
        self.theirs, self.mine, self.fields, self.by = theirs, mine, fields, by


class NotSaved(Message):
    """Why not; `field` is the one to look at."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


class Hinted(Message):
    """What a field was understood as."""

    def __init__(self, field: str, text: str, *, bad: bool = False) -> None:
        super().__init__()
        self.field, self.text, self.bad = field, text, bad


ARROW = " → "
"""Between words and the id that they were completed to."""
ASK_S = 0.15
"""How long one pauses before the words are looked for."""
_ID = re.compile(r"[0-9a-f-]{4,36}")


class TagSuggester(Suggester):
    """Completes the last tag of a line from those that are known."""

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._known = known

    async def get_suggestion(self, value: str) -> str | None:
        head, _, last = value.rpartition(",")
        begun = last.lstrip().removeprefix("#")
        if not begun:
            return None
        taken = tags_of(head)
        fitting = (tag for tag in self._known if tag.startswith(begun) and tag != begun and tag not in taken)
        found = next((tag for tag in fitting if tags_of(tag) == [tag]), None)
        return None if found is None else value[: len(value) - len(begun)] + found


class MemorySuggester(Suggester):
    """Completes words to the id of the memory that they find best: `the kettle → 9f3a2b…`; `told` hears its text."""

    def __init__(self, remote: Remote, own: str, told: Callable[[str], object]) -> None:
        """`own` is the id of the memory that one writes, which replaces others only."""
        super().__init__(use_cache=False, case_sensitive=True)
        self._remote, self._own, self._told = remote, own, told
        self._newest = ""

    async def get_suggestion(self, value: str) -> str | None:
        self._newest = value
        await asyncio.sleep(ASK_S)
        if value != self._newest or not value.strip() or ARROW in value:
            return None
        ask = {"query": value, "limit": 2, "states": ["active", "paused", "archived"]}
        try:
            results = (await self._remote(lambda daemon: daemon.search(ask)))["results"]
        except JmemError:
            return None  # saving says what is wrong
        found = next((memory for memory in results if memory["id"] != self._own), None)
        if found is None or value != self._newest or _ID.fullmatch(value.strip()):
            return None
        self._told(shown.headline(found))
        return f"{value}{ARROW}{found['id'][-12:]}"


def written(memory: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a memory as they stand in the lines."""
    return {
        "tags": tags_line(memory["tags"]),
        "occurred_at": time_text(memory["occurred_at"]),
        "expires_at": time_text(memory["expires_at"], end=True),
        "supersedes": (memory["supersedes"] or "")[-12:],
    }


def said(error: JmemError) -> str:
    """Its message, with the label of the line instead of the field's name."""
    field = str(error.detail.get("field", ""))
    label = next((label for name, label, _ in LINES if name == field), field)
    return label + error.message.removeprefix(field) if field and error.message.startswith(field) else error.message


def understood(daemon: Client, field: str, text: str) -> Hinted:
    """What a line with a time or an id is taken for, or what is wrong with it. Slow where a time is in words."""
    try:
        if field == "supersedes":
            return Hinted(field, f"= {shown.headline(daemon.get(text))}")
        ends = field == "expires_at"
        moment = time_of(text, field, end=ends)
        return Hinted(field, f"= {(end_time if ends else local_time)(moment) if moment else ''}")
    except JmemError as error:
        return Hinted(field, said(error), bad=True)


def values_of(touched: Mapping[str, str]) -> dict[str, Any]:
    """As the daemon takes them; raises Invalid with the field. Slow where a time is in words."""
    values: dict[str, Any] = dict(touched)
    for name in ("occurred_at", "expires_at"):
        if name in values:
            values[name] = time_of(values[name], name, end=name == "expires_at")
    if "tags" in values:
        values["tags"] = tags_of(values["tags"])
    if "supersedes" in values:
        values["supersedes"] = values["supersedes"] or None
    return values


def write(
    daemon: Client, base: Mapping[str, Any] | None, blank: Mapping[str, Any], values: dict[str, Any], secrets: str
) -> Saved | Disputed:
    """Save the values, merged with what others did to other fields; without a `base` as a new memory on top
    of `blank`. Raises JmemError."""
    if base is None:
        fields = {**blank, **values, "secrets": secrets}
        return Saved(daemon.add({k: v for k, v in fields.items() if v is not None}))
    theirs, also = base, ""
    if values.get("supersedes"):
        values["supersedes"] = daemon.get(values["supersedes"])["id"]
    while True:
        left = saving.remaining(theirs, values)
        if not left:
            return Saved(dict(theirs), also)
        try:
            return Saved(daemon.edit(base["id"], {**left, "secrets": secrets}, theirs["version"]), also)
        except Conflict as error:
            if error.code != "changed":
                raise
        theirs = daemon.get(base["id"])
        if both := saving.disputed(base, theirs, values):
            return Disputed(theirs, values, both, saving.last_writer(daemon, base["id"]))
        also = saving.named(name for name in saving.FIELDS if theirs[name] != base[name] and name not in values)

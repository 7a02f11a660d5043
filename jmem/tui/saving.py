"""What an edit sends, and what to do when the memory was changed by somebody else meanwhile. Knows no screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jmem.cli.text import epoch, last_day, local_time
from jmem.client import LONG, Client

Memory = Mapping[str, Any]
FIELDS: tuple[str, ...] = ("content", "tags", "occurred_at", "expires_at", "privacy", "supersedes")
"""What the editor can change."""
NAMES: Mapping[str, str] = {
    "content": "text", "occurred_at": "when it happened", "expires_at": "expiry", "supersedes": "what it replaces",
}  # fmt: skip
STEP = 1_000
"""Memories of one batch."""


def disputed(base: Memory, theirs: Memory, mine: Memory) -> list[str]:
    """The fields that both changed, and not to the same."""
    return [name for name in mine if theirs[name] != base[name] and theirs[name] != mine[name]]


def remaining(theirs: Memory, mine: Memory) -> dict[str, Any]:
    """Of what I want, that which is not so already."""
    return {name: value for name, value in mine.items() if theirs[name] != value}


def named(fields: Iterable[str]) -> str:
    """Fields in words."""
    return ", ".join(NAMES.get(name, name) for name in fields)


def time_text(moment: str | None, *, end: bool = False) -> str:
    """A time as one would type it: a day alone where one begins at this moment, or with `end` where one ends."""
    if not moment:
        return ""
    if end:
        return last_day(moment) or local_time(moment)
    text = local_time(moment)
    return text.removesuffix(" 00:00") if epoch(moment) % 60 == 0 else text


def time_of(text: str, field: str, *, end: bool = False) -> str | None:
    """The moment that words name, None for no words; raises Invalid. Slow the first time (it learns the language)."""
    from jmem.core.timewords import parse_moment

    return parse_moment(text, field=field)[1 if end else 0] if text else None


def at_once(
    daemon: Client, operations: Sequence[dict[str, Any]], progress: Callable[[int], object] = lambda done: None
) -> list[dict[str, Any]]:
    """The results of any number of operations, in batches of as many as one action may have.

    One alone is done as such, so that the log calls it by its name; it raises JmemError where it fails. `progress`
    is told after each batch but the last how many are done.
    """
    if len(operations) == 1:
        return [_alone(daemon, dict(operations[0]))]
    results: list[dict[str, Any]] = []
    for start in range(0, len(operations), STEP):
        if start:
            progress(start)
        step = {"operations": operations[start : start + STEP]}
        results += daemon.request("POST", "/memories/batch", step, timeout=LONG)["results"]
    return results


def _alone(daemon: Client, operation: dict[str, Any]) -> dict[str, Any]:
    op, id = operation.pop("op"), operation.pop("id")
    if op == "delete":
        return {"status": 200, "deleted": daemon.delete(id)["deleted"]}
    if op == "purge":
        return {"status": 200, "purged": daemon.purge(id)["purged"][0]}
    return {"status": 200, "memory": daemon.restore(id) if op == "restore" else daemon.edit(id, operation)}


def last_writer(daemon: Client, id: str) -> str:
    """Who changed a memory last."""
    actions = daemon.log({"limit": 1, "id": id})["actions"]
    return str(actions[0]["client"]) if actions else ""

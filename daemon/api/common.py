"""What several route groups share: answers of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from daemon.http import Answer
from jmem.core.model import MAX_ANSWER_BYTES
from jmem.core.wire.common import ROOM, bounded


def listing(name: str, items: Sequence[Any], head: Mapping[str, Any] = {}, *, newest_last: bool = False) -> Answer:
    """`{…head, name: [items]}`; where they don't all fit into one answer, the first (or newest) ones and `truncated`."""
    pieces = bounded(reversed(items) if newest_last else items)
    about = {**head, "truncated": True} if len(pieces) < len(items) else dict(head)
    start = to_json(about)[:-1] + (b"," if about else b"")
    rows = b",".join(reversed(pieces) if newest_last else pieces)
    return Answer(200, start + to_json(name) + b":[" + rows + b"]}")


def listings(lists: Mapping[str, Sequence[Any]], head: Mapping[str, Any]) -> Answer:
    """As `listing`, for several lists that share the room of one answer."""
    fitting = {name: bounded(items, (MAX_ANSWER_BYTES - ROOM) // len(lists)) for name, items in lists.items()}
    cut = any(len(fitting[name]) < len(items) for name, items in lists.items())
    parts = [to_json(name) + b":[" + b",".join(pieces) + b"]" for name, pieces in fitting.items()]
    parts += [
        to_json(name) + b":" + to_json(value)
        for name, value in {**head, **({"truncated": True} if cut else {})}.items()
    ]
    return Answer(200, b"{" + b",".join(parts) + b"}")


def page(
    name: str, fetch: Callable[[int], tuple[Sequence[Any], str | None]], limit: int, **tail: Any
) -> Answer:  # fmt: skip
    """One page of `fetch(limit)`: (dicts, next cursor); a shorter one where a full one would be too large an answer.

    `tail` are further fields of the answer.
    """
    items, cursor = fetch(limit)
    # a shorter page knows where the next one begins; what was written meanwhile may not fit into it either
    while len(pieces := bounded(items)) < len(items):
        items, cursor = fetch(len(pieces))
    end = to_json({"next_cursor": cursor, **tail})[1:]
    return Answer(200, b"{" + to_json(name) + b":[" + b",".join(pieces) + b"]," + end)

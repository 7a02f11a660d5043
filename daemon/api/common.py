"""What several route groups share: filters, moments in words, answers of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from daemon.http import Answer
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.model import ACCEPTED, MAX_ANSWER_BYTES, STATES, check_tags, iso, milliseconds, now_iso
from jmem.core.timewords import parse_moment

ROOM = 2_048
"""bytes of an answer beside its memories"""


def start_of(text: str | None, name: str = "since") -> str | None:
    """Where a moment begins, given as ISO 8601 or in words, in the form of `model.iso`; raises Invalid."""
    return None if text is None else parse_moment(text, field=name)[0]


def end_of(text: str | None, name: str = "until") -> str | None:
    """Where a moment ends: `until yesterday` takes all of yesterday in."""
    return None if text is None else parse_moment(text, field=name)[1]


def past_of(text: str | None, name: str = "as_of") -> str | None:
    """The moment to look back to: `yesterday` is the end of yesterday, `today` is now. Raises Invalid for the future."""
    if text is None:
        return None
    start, end = parse_moment(text, field=name)
    if start > now_iso():
        raise Invalid(f"{name} lies in the future: {text[:60]!r}", field=name, fix="name a moment of the past")
    return start if start == end else min(iso(milliseconds(end) - 1), now_iso())


def states_of(state: str) -> tuple[str, ...]:
    """The states that a name stands for."""
    return ACCEPTED if state == "all" else (state,)


def make_filter(
    *, tags: Sequence[str] = (), clients: Sequence[str] = (), states: Sequence[str] = ("active",),
    since: str | None = None, until: str | None = None, privacy: str | None = None, thread: str | None = None,
    source: str | None = None, deleted: bool = False, expired: bool = False,
) -> Filter:  # fmt: skip
    """The filter of a request; raises Invalid. Deleted memories are found in any state, expired ones with every state,
    and with `expired` nothing but those."""
    every = set(states) >= set(ACCEPTED)
    return Filter(
        tags=tuple(check_tags(tags)), clients=tuple(clients), states=STATES if deleted else tuple(states) or ACCEPTED,
        since=start_of(since), until=end_of(until), privacy=privacy, thread=thread, source=source,
        deleted=deleted, expired=every or deleted, lapsed=expired,
    )  # fmt: skip


def bounded(items: Iterable[Any], room: int = MAX_ANSWER_BYTES - ROOM) -> list[bytes]:
    """Values as JSON, the first ones that fit into one answer (one at least)."""
    pieces: list[bytes] = []
    size = 0
    for item in items:
        piece = to_json(item)
        size += len(piece) + 1
        if size > room and pieces:
            break
        pieces.append(piece)
    return pieces


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
    pieces = bounded(items)
    if len(pieces) < len(items):  # a shorter page knows where the next one begins
        items, cursor = fetch(len(pieces))
        pieces = bounded(items)
    end = to_json({"next_cursor": cursor, **tail})[1:]
    return Answer(200, b"{" + to_json(name) + b":[" + b",".join(pieces) + b"]," + end)

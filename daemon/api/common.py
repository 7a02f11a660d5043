"""What several route groups share: filters, moments in words, answers of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from jmem.core.filter import Filter
from jmem.core.model import MAX_ANSWER_BYTES, STATES, Memory, check_tags
from jmem.core.timewords import parse_moment

ROOM = 2_048
"""bytes of an answer beside its memories"""


def start_of(text: str | None, name: str = "since") -> str | None:
    """Where a moment begins, given as ISO 8601 or in words, in the form of `model.iso`; raises Invalid."""
    return None if text is None else parse_moment(text, field=name)[0]


def end_of(text: str | None, name: str = "until") -> str | None:
    """Where a moment ends: `until yesterday` takes all of yesterday in."""
    return None if text is None else parse_moment(text, field=name)[1]


def states_of(state: str) -> tuple[str, ...]:
    """The states that a name stands for."""
    return STATES if state == "all" else (state,)


def make_filter(
    *, tags: Sequence[str] = (), clients: Sequence[str] = (), states: Sequence[str] = ("active",),
    since: str | None = None, until: str | None = None, privacy: str | None = None, thread: str | None = None,
    source: str | None = None, deleted: bool = False,
) -> Filter:  # fmt: skip
    """The filter of a request; raises Invalid. Deleted memories are found in any state, expired ones with every state."""
    every = set(states) == set(STATES)
    return Filter(
        tags=tuple(check_tags(tags)), clients=tuple(clients), states=STATES if deleted else tuple(states),
        since=start_of(since), until=end_of(until), privacy=privacy, thread=thread, source=source,
        deleted=deleted, expired=every or deleted,
    )  # fmt: skip


def encoded(memories: Iterable[Memory]) -> list[bytes]:
    """Memories as JSON, as many as fit into one answer (one at least)."""
    return bounded(memory.as_dict() for memory in memories)


def bounded(items: Iterable[dict[str, Any]]) -> list[bytes]:
    """Objects as JSON, as many as fit into one answer (one at least)."""
    pieces: list[bytes] = []
    size = ROOM
    for item in items:
        piece = to_json(item)
        size += len(piece) + 1
        if size > MAX_ANSWER_BYTES and pieces:
            break
        pieces.append(piece)
    return pieces

"""Moments of the past, as stamps and as what the cursors of a list of then carry."""

from __future__ import annotations

from collections.abc import Iterable

from jmem.core.errors import NotFound
from jmem.core.model import Memory, milliseconds, now_iso, parse_time
from jmem.core.paging import decode_cursor

PAST = ("read", "every_tag")
"""What looking back takes: an earlier text may not have had the tag that a memory is visible by now."""


def checked_moment(moment: str) -> str:
    """A moment of the past in the form of `model.iso`; one that a word like "today" puts later is now.

    Raises Invalid.
    """
    parsed = parse_time(moment, "as_of")
    return min(parsed, now_iso())


def bound_of(moment: str) -> str:
    """The first stamp that comes after a moment in the form of `model.iso`."""
    return f"{max(milliseconds(moment) + 1, 0):012x}"


def moment_of(cursor: str, sort: str) -> str:
    """The moment of the page that a cursor goes on with; raises Invalid `bad_cursor` for one of an ordinary list."""
    return str(decode_cursor(cursor, cursor_kind(sort), 3)[0])


def cursor_kind(sort: str) -> str:
    """The kind of the cursors of a list of the past, which carry its moment."""
    return f"{sort} as of"


def there(memory: Memory | None, id: str, moment: str, *, deleted: bool = False) -> Memory:
    """A memory as it was folded for a moment; raises NotFound where it was not there then."""
    if memory is None:
        raise NotFound(f"memory {id} was not there yet", id=id, as_of=moment, fix=f"jmem log {id}")
    if memory.deleted and not deleted:
        raise NotFound(f"memory {id} was deleted then", id=id, as_of=moment, deleted=True, fix=f"jmem log {id}")
    return memory


def newest_of(then: Iterable[Memory], id: str, moment: str) -> str | None:
    """The newest of the memories, as they stood at a moment, that superseded this one then, live and active."""
    newest = max(
        ((m.occurred_at or m.created_at, m.id) for m in then
         if m.supersedes == id and not m.deleted and m.state == "active" and (m.expires_at or "~") > moment),
        default=None,
    )  # fmt: skip
    return None if newest is None else newest[1]

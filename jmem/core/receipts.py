"""What is told of a purge, and of the operations of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jmem.core.errors import JmemError
from jmem.core.model import Memory, now_iso


@dataclass(frozen=True, slots=True)
class PlaceReceipt:
    """What became of a memory in one place: `result` is "erased", "nothing there" or why it is still to be done.

    One that is not `done` has the whole purge repeated at the next start.
    """

    place: str
    result: str
    at: str
    done: bool = True

    def as_dict(self) -> dict[str, Any]:
        """One line of the receipt of a purge."""
        return {"place": self.place, "result": self.result, "at": self.at}


@dataclass(frozen=True, slots=True)
class Purged:
    """A memory that was forgotten, and the receipt of every place."""

    id: str
    receipt: tuple[PlaceReceipt, ...]


def erased(place: str, result: str = "erased") -> PlaceReceipt:
    """A receipt of now."""
    return PlaceReceipt(place, result, now_iso())


def unreached(place: str, error: object) -> PlaceReceipt:
    """The receipt of a place that failed, with the reason."""
    return PlaceReceipt(place, f"to be repeated at the next start: {error}", now_iso(), done=False)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one operation: an HTTP status, and the memory, the id, or the error."""

    status: int
    memory: Memory | None = None
    duplicate: bool = False
    differs: tuple[str, ...] = ()
    replaces: str | None = None
    deleted: str | None = None
    purged: str | None = None
    receipt: tuple[PlaceReceipt, ...] = ()
    error: JmemError | None = None

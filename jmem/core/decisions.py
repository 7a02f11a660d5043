"""What the owner decides about what waits for review, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jmem.core.errors import JmemError, NotFound
from jmem.core.filter import Filter

Decision = Literal["approve", "reject"]
CHANGES: dict[str, dict[str, Any]] = {"approve": {"state": "active"}, "reject": {"deleted": True}}
"""What a decision writes. A rejected memory keeps its state, so that undo brings it back into the inbox."""
INBOX = Filter(states=("review",))


@dataclass(slots=True)
class Decided:
    """The whole ids that were accepted or rejected, and (id as given, why) of those that were not."""

    ids: list[str] = field(default_factory=list)
    skipped: list[tuple[str, JmemError]] = field(default_factory=list)


def not_waiting(id: str) -> NotFound:
    """The error for a memory that waits for nothing."""
    return NotFound(f"memory {id} does not wait for review", code="not_waiting", id=id,
                    fix="jmem review   lists what does")  # fmt: skip

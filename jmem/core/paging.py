"""Pages of a list, and the cursors between them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from jmem.core.errors import Invalid
from jmem.core.model import MAX_LIMIT, Memory


@dataclass(frozen=True, slots=True)
class Page:
    """One page of memories and the cursor of the next; None after the last."""

    memories: list[Memory]
    next_cursor: str | None = None


def check_limit(limit: int) -> int:
    """1 to 1,000; raises Invalid."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"limit must be 1 to {MAX_LIMIT:,}", field="limit")
    return limit


def encode_cursor(kind: str, *values: Any) -> str:
    """An opaque cursor; `decode_cursor` takes it for the same kind only."""
    return base64.urlsafe_b64encode(json.dumps([kind, *values]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kind: str, width: int) -> list[Any]:
    """The values of a cursor; raises Invalid `bad_cursor` when it is not one, or is of another kind."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
        whole = isinstance(values, list) and len(values) == width + 1 and values[0] == kind
        if whole and all(_storable(value) for value in values):
            return list(values[1:])
    except (ValueError, UnicodeError, RecursionError):
        pass
    raise Invalid("the cursor is not one of this list", code="bad_cursor", field="cursor",
                  fix="start again without a cursor, and keep sort as it is")  # fmt: skip


def _storable(value: Any) -> bool:
    """Whether a database takes it as a parameter; raises UnicodeError for a text that is none."""
    if isinstance(value, str):
        value.encode()
        return True
    return isinstance(value, int) and -(2**63) <= value < 2**63

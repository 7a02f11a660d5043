"""What an imported item says, checked, whatever format it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jmem.core.errors import Invalid
from jmem.core.model import Op, check_field

_CLEARABLE = ("source", "thread", "speaker", "occurred_at", "expires_at", "supersedes")


@dataclass(frozen=True, slots=True)
class Record:
    """One memory to bring in: its fields, or, from a whole export, its ops."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    """The id it was exported with."""
    version: str | None = None
    """The version it was exported at: tells an edit of the file from one in the store."""
    ops: tuple[Op, ...] = ()
    continued: bool = False
    """Whether the ops go on with those of the line before."""
    complete: bool = False
    """Whether a field that is missing was empty in the memory (a note jmem wrote), not merely left out."""


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The stored form of given fields; empty optional ones are left out; raises Invalid."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None and name != "content":
            continue
        if name in _CLEARABLE and value == "":
            continue
        out[name] = check_field(name, value)
    if "content" not in out:
        raise Invalid("it has no content", field="content")
    return out

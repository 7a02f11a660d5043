"""Ids as people type them, and what is said when one fits no memory, or several."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jmem.core.actor import Actor
from jmem.core.errors import Ambiguous, Invalid, NotFound

MIN_PART = 4
MIN_SHORT = 6
MAX_CANDIDATES = 10
PREVIEW_CHARS = 80
_PART = re.compile(r"[0-9a-f-]{4,36}")


def preview(content: str, limit: int = PREVIEW_CHARS) -> str:
    """The beginning of a text on one line, of at most `limit` characters."""
    line = " ".join(content[: limit * 4].split())
    return line if len(line) <= limit and len(content) <= limit * 4 else line[: limit - 1].rstrip() + "…"


def ambiguous(part: str, fitting: Sequence[tuple[str, str]], actor: Actor) -> Ambiguous:
    """The error for a part that fits several memories, given as (id, content)."""
    candidates = [
        {"id": id, "preview": preview(content) if actor.read else ""} for id, content in fitting[:MAX_CANDIDATES]
    ]
    return Ambiguous(f"{part!r} fits {_count(len(fitting))} memories", candidates=candidates,
                     fix="give more characters of the id")  # fmt: skip


def was_deleted(id: str) -> NotFound:
    """The error for a memory that is there, but deleted."""
    return NotFound(f"memory {id} was deleted", id=id, deleted=True, fix=f"jmem restore {id}")


def forgotten(id: str, new: str | None = None) -> NotFound:
    """The error for a purged id; `new` is the one that a change of privacy gave the memory instead."""
    if new is None:
        return NotFound(f"memory {id} was forgotten for ever", id=id, purged=True)
    return NotFound(f"memory {id} was forgotten when its privacy changed; it is {new} now", id=id, purged=True,
                    replaced_by=new, fix=f"jmem show {new}")  # fmt: skip


def unknown(part: str) -> NotFound:
    """The error for a part that fits nothing."""
    return NotFound(f"no memory has the id {part!r}", id=part, fix="jmem list   shows the ids")


def _count(n: int) -> str:
    return f"more than {MAX_CANDIDATES}" if n > MAX_CANDIDATES else str(n)


def clean(part: str) -> str:
    """A part of an id in the form in which it is compared; raises Invalid."""
    text = part.strip().lower() if isinstance(part, str) else ""
    if not _PART.fullmatch(text) or len(text.replace("-", "")) < MIN_PART:
        raise Invalid(f"{str(part)[:40]!r} is not an id or a part of one of at least {MIN_PART} characters",
                      field="id", fix="jmem list   shows the ids")  # fmt: skip
    return text


def reverse_id(part: str) -> str:
    """An id (or a part of one) as the suffix index has it: without dashes, last character first."""
    return part.replace("-", "")[::-1]

"""The texts that full-text search sees, and the key of the text that is embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from jmem.core.embed.base import embed_text

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
CONTEXT_BEFORE = 2
CONTEXT_AFTER = 1
CONTEXT_CHARS = 1000
"""How much of a neighbour goes into a context column."""


def date_words(moment: str | None) -> str:
    """`2023-05-08T…` as "08 May 2023": people ask for dates in words; "" for None."""
    if moment is None:
        return ""
    return f"{moment[8:10]} {MONTHS[int(moment[5:7]) - 1]} {moment[:4]}"


def spoken(content: str, speaker: str | None, occurred_at: str | None) -> str:
    """A memory as its neighbours see it: date in words, speaker and content."""
    date = f"[{date_words(occurred_at)}] " if occurred_at else ""
    return f"{date}{speaker}: {content}" if speaker else date + content


def search_text(content: str, speaker: str | None, occurred_at: str | None, tags: Iterable[str]) -> str:
    """The `text` column of the full-text index."""
    words = " ".join(tags)
    text = spoken(content, speaker, occurred_at)
    return f"{text}\n{words}" if words else text


def text_key(content: str, speaker: str | None) -> bytes:
    """16 bytes that are equal when the embedded text is; the key of a memory's vector."""
    return hashlib.sha256(embed_text(content, speaker).encode()).digest()[:16]

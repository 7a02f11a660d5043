"""Long text in pieces that are each good to recall: whole sections, else paragraphs, lines, sentences, words.

No character but white space at the cuts is lost or changed. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TARGET = 800
"""Characters a piece is filled up to: about what the embedder reads of a text."""
MOST = 1600
"""Characters from which on a paragraph is itself cut."""

_LEVELS = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"')\]»”’]{0,3}\s+|[。！？]"),
    re.compile(r"\s+"),
)
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_JOINS = re.compile(r"[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
"""Characters that belong to the one before them."""


def split_text(text: str) -> list[str]:
    """Pieces of about TARGET characters, without white space at their ends; [] for blank text."""
    return [piece.strip() for piece in _packed(text, 0) if piece.strip()]


def split_markdown(text: str) -> list[str]:
    """Like split_text, and a new piece at each heading; a heading without text goes with the next section."""
    pieces: list[str] = []
    titles = ""
    for section in _sections(text):
        lines = section.strip().split("\n", 1)
        if len(lines) == 1 and _HEADING.match(lines[0]):
            titles += section
            continue
        pieces += split_text(titles + section)
        titles = ""
    return pieces + split_text(titles)


def _sections(text: str) -> Iterator[str]:
    """The text cut before each heading that is not inside a fenced block."""
    section: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if match := _FENCE.match(line):
            mark = match[1]
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence):
                fence = ""
        elif not fence and section and _HEADING.match(line):
            yield "\n".join(section) + "\n"
            section = []
        section.append(line)
    yield "\n".join(section)


def _packed(text: str, level: int) -> list[str]:
    """Neighbouring parts of one level joined up to TARGET; a part beyond MOST cut at the next level."""
    packed: list[str] = []
    current = ""
    for part in _parts(text, level):
        if len(current) + len(part) <= TARGET:
            current += part
            continue
        packed.append(current)
        if len(part) > MOST:
            *whole, current = _packed(part, level + 1)
            packed += whole
        else:
            current = part
    return [*packed, current]


def _parts(text: str, level: int) -> Iterator[str]:
    """The text cut after each boundary of a level; nothing is left out."""
    start = 0
    if level < len(_LEVELS):
        for match in _LEVELS[level].finditer(text):
            yield text[start : match.end()]
            start = match.end()
    else:
        while len(text) - start > TARGET:
            end = start + TARGET
            while end > start + 1 and (_JOINS.match(text, end) or text[end - 1] == "\u200d"):
                end -= 1
            end = end if end > start + 1 else start + TARGET
            yield text[start:end]
            start = end
    yield text[start:]

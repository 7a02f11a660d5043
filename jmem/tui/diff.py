"""What differs between two texts, coloured: line by line, or word by word in one text or side by side. Bounded, so that
no text is ever too long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from jmem.cli.commands.diff import line_changes
from jmem.tui import shown

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
WORDS, LINES = 500_000, 400_000
"""Products of the numbers of words (or lines) of two texts up to which they are compared: a tenth of a second."""
KEPT = 240
"""Characters of what is equal that stay on each side of a change, where the rest is left out."""
SHOWN = 12_000
"""Characters of one piece that are shown."""
UNIFIED = 4_000
"""Characters of what differs up to which `unified` compares its words: the time grows with the square."""
AROUND = 2
"""Equal lines that `unified` shows before and after a difference."""

Piece = tuple[str, str, str]
"""(kind, old, new): equal, replace, delete or insert."""


def pieces(before: str, after: str) -> list[Piece]:
    """How one text became the other, in words; in lines or as a whole where that would take too long."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    start = _at_word(before, after, start)
    end = _at_word(before[::-1], after[::-1], end)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    found: list[Piece] = [("equal", before[:start], after[:start])] if start else []
    found += _middle(old, new)
    if end:
        found.append(("equal", before[len(before) - end :], after[len(after) - end :]))
    return found


def _middle(old: str, new: str) -> Iterator[Piece]:
    from difflib import SequenceMatcher

    if not old or not new:
        if old or new:
            yield ("delete" if old else "insert", old, new)
        return
    for pattern, most in ((_WORD, WORDS), (_LINE, LINES)):
        a, b = pattern.findall(old), pattern.findall(new)
        if len(a) * len(b) <= most:
            for kind, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
                yield kind, "".join(a[i1:i2]), "".join(b[j1:j2])
            return
    yield "replace", old, new


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many characters, or lines, both begin with."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def _at_word(a: str, b: str, at: int) -> int:
    """Back to where a word begins, so that no half of a word counts as equal."""
    while at and any(at < len(text) and text[at - 1].isalnum() and text[at].isalnum() for text in (a, b)):
        at -= 1
    return at


def inline(before: str, after: str, colours: Mapping[str, str]) -> Text:
    """Both in one: what went struck through, what came in bold; long equal parts are left out."""
    text = Text()
    parts = pieces(shown.whole(before), shown.whole(after))
    for number, (kind, old, new) in enumerate(parts):
        if kind == "equal":
            _equal(text, new, first=number == 0, last=number == len(parts) - 1)
            continue
        _part(text, old, f"strike {colours['error']}")
        if old[-1:].isalnum() and new[:1].isalnum():
            text.append(" ")
        _part(text, new, f"bold {colours['success']}")
    return text


def _equal(text: Text, part: str, *, first: bool, last: bool) -> None:
    head, tail = 0 if first else KEPT, 0 if last else KEPT
    if len(part) <= head + tail + KEPT:
        text.append(part)
        return
    text.append(part[:head])
    text.append(f" … {len(part) - head - tail:,} characters as they were … ", "dim italic")
    text.append(part[len(part) - tail :] if tail else "")


def _part(text: Text, part: str, style: str) -> None:
    text.append(part[:SHOWN], style)
    if len(part) > SHOWN:
        text.append(f" … {len(part) - SHOWN:,} more characters … ", "dim italic")


def sides(left: str, right: str, colours: Mapping[str, str]) -> tuple[Text, Text]:
    """Each of two texts, with the words that only it has marked."""
    texts = Text(), Text()
    for kind, old, new in pieces(shown.whole(left), shown.whole(right)):
        for text, part, colour in zip(texts, (old, new), (colours["warning"], colours["success"]), strict=True):
            _part(text, part, "" if kind == "equal" else f"bold {colour}")
    return texts


def fields(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str], colours: Mapping[str, str]
) -> Text:
    """The other fields that differ, a line each; of tags only those that came or went."""
    text = Text()
    for name in names:
        old, new = before.get(name), after.get(name)
        if old == new or not (old or new):
            continue
        text.append(f"{_NAMES.get(name, name)}  ", "dim")
        if name == "tags":
            gone = [f"#{tag}" for tag in old or () if tag not in (new or ())]
            came = [f"#{tag}" for tag in new or () if tag not in (old or ())]
            text.append(shown.one_line(" ".join(gone)), f"strike {colours['error']}")
            text.append(" " if gone and came else "")
            text.append(shown.one_line(" ".join(came)), f"bold {colours['success']}")
        else:
            text.append(shown.value(old)[:VALUE], f"strike {colours['error']}" if old else "dim")
            text.append(" → ", "dim")
            text.append(shown.value(new)[:VALUE], f"bold {colours['success']}")
        text.append("\n")
    return text


_NAMES = {"occurred_at": "happened", "expires_at": "expires", "created_at": "added", "client": "by"}

VALUE = 400
"""Characters of a field's value that are shown."""


def unified(before: str, after: str, colours: Mapping[str, str]) -> Text:
    """A line each with `-` or `+`, the words that differ marked in it; equal lines far from a difference are left out."""
    old, new = before.split("\n"), after.split("\n")
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_part, new_part = "\n".join(old[head : len(old) - tail]), "\n".join(new[head : len(new) - tail])
    text = Text(end="")
    _lines_before(text, old[:head])
    if len(old_part) + len(new_part) <= UNIFIED:
        middle = line_changes(old_part, new_part)
    else:
        middle = [(sign, style, [(False, line)]) for sign, style, part in (("-", "removed", old_part), ("+", "added", new_part))
                  for line in shown.whole(part).split("\n")]  # fmt: skip
    for sign, style, parts in middle:
        colour = {"removed": colours["error"], "added": colours["success"]}.get(style, "")
        text.append(f"{sign} ", f"bold {colour}" if colour else "")
        for changed, part in parts:
            text.append(part, f"{colour} bold underline" if changed and colour else colour)
        text.append("\n")
    _lines_after(text, old[len(old) - tail :])
    return text


def _lines_before(text: Text, lines: Sequence[str]) -> None:
    """The last of the equal lines that stand before a difference."""
    if len(lines) > AROUND:
        text.append(f"  … {len(lines) - AROUND:,} lines as they were\n", "dim")
    for line in lines[-AROUND:]:
        text.append(f"  {shown.whole(line)}\n", "dim")


def _lines_after(text: Text, lines: Sequence[str]) -> None:
    """The first of the equal lines that stand after a difference."""
    for line in lines[:AROUND]:
        text.append(f"  {shown.whole(line)}\n", "dim")
    if len(lines) > AROUND:
        text.append(f"  … {len(lines) - AROUND:,} lines as they were\n", "dim")

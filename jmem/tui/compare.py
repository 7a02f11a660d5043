"""Two versions of a text in one, coloured: lines that went, lines that came, and the words that differ in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from jmem.cli.commands.diff import line_changes
from jmem.tui import shown

WORDS = 4_000
"""Characters of what differs up to which its words are compared: the time grows with the square."""
AROUND = 2
"""Equal lines that are shown before and after a difference."""


def compared(before: str, after: str, colours: Mapping[str, str]) -> Text:
    """What differs between two texts, harmless, a line each with `-` or `+`; equal lines far from it are left out."""
    old, new = before.split("\n"), after.split("\n")
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_part, new_part = "\n".join(old[head : len(old) - tail]), "\n".join(new[head : len(new) - tail])
    text = Text(end="")
    _equal(text, old[:head], first=head)
    if len(old_part) + len(new_part) <= WORDS:
        middle = line_changes(old_part, new_part)
    else:
        middle = [(sign, style, [(False, line)]) for sign, style, part in (("-", "removed", old_part), ("+", "added", new_part))
                  for line in shown.whole(part).split("\n")]  # fmt: skip
    for sign, style, pieces in middle:
        colour = {"removed": colours["error"], "added": colours["success"]}.get(style, "")
        text.append(f"{sign} ", f"bold {colour}" if colour else "")
        for changed, piece in pieces:
            text.append(piece, f"{colour} bold underline" if changed and colour else colour)
        text.append("\n")
    _equal(text, old[len(old) - tail :] if tail else [], first=0)
    return text


def _common(a: list[str], b: list[str]) -> int:
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return count


def _equal(text: Text, lines: list[str], first: int) -> None:
    """The equal lines next to a difference, which is after them (`first`) or before."""
    kept = lines[-AROUND:] if first else lines[:AROUND]
    if first > AROUND:
        text.append(f"  … {first - AROUND:,} lines as they were\n", "dim")
    for line in kept:
        text.append(f"  {shown.whole(line)}\n", "dim")
    if not first and len(lines) > AROUND:
        text.append(f"  … {len(lines) - AROUND:,} lines as they were\n", "dim")


def fields(change: Mapping[str, Any], colours: Mapping[str, str]) -> Text:
    """What an undo or another step does to one memory: `before` and `after` hold the fields that differ."""
    before, after = dict(change["before"]), dict(change["after"])
    text = Text(end="")
    preview = shown.one_line(change.get("preview", ""))
    if "content" in before:
        text.append_text(compared(before.pop("content"), after.pop("content"), colours))
    elif "deleted" in before:
        gone = bool(after["deleted"])
        text.append(f"{'-' if gone else '+'} {preview}\n", colours["error"] if gone else colours["success"])
    else:
        text.append(f"  {preview}\n")
    if "deleted" in before:
        text.append("  is deleted\n" if before.pop("deleted") is False else "  comes back\n", "dim")
        after.pop("deleted")
    for name in before:
        text.append(f"  {name}  ", "dim")
        text.append(value(before[name]), colours["error"])
        text.append(" → ", "dim")
        text.append(value(after[name]) + "\n", colours["success"])
    return text


def value(of: Any) -> str:
    """A field's value for people, on one line."""
    if of in (None, [], {}, ""):
        return "none"
    return shown.one_line(", ".join(map(str, of)) if isinstance(of, list) else str(of))

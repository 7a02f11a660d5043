"""What an undo does to memories, as coloured text: many in a few lines each, or one with all that differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from jmem.cli.text import wrap
from jmem.tui import diff, shown

MOST = 50
"""Memories whose change is shown."""
_LINES = 2


def changes_text(answer: Mapping[str, Any], colours: Mapping[str, str], width: int) -> Text:
    """The `changes` of POST /undo: each memory's text, or the old and the new one, then what else differs."""
    text = Text(no_wrap=False)
    for change in answer["changes"][:MOST]:
        _change(text, change, colours, width)
    left = answer["changed"] - len(answer["changes"][:MOST])
    if left > 0:
        text.append(f"and {left:,} more\n", "dim")
    text.right_crop(1)
    return text


def _change(text: Text, change: Mapping[str, Any], colours: Mapping[str, str], width: int) -> None:
    before, after = dict(change["before"]), dict(change["after"])
    gone = after.get("deleted")
    lines: list[tuple[str, str, str]] = []
    if "content" in before:
        lines = [("- ", before.pop("content"), colours["error"]), ("+ ", after.pop("content"), colours["success"])]
    elif "deleted" in before:
        lines = [("- " if gone else "+ ", change["preview"], colours["error" if gone else "success"])]
    else:
        lines = [("  ", change["preview"], "")]
    for sign, said, style in lines:
        for number, line in enumerate(wrap(shown.one_line(" ".join(said[:2_000].split())), max(width - 2, 12), _LINES)):
            text.append(("  " if number else sign) + line + "\n", style)
    for name, old in before.items():
        if name != "deleted":
            text.append(f"  {name}: {shown.value(old)} → {shown.value(after.get(name))}\n", "dim")


def change_text(change: Mapping[str, Any], colours: Mapping[str, str]) -> Text:
    """One of the `changes` of POST /undo: the lines of its text that differ, then what else does."""
    before, after = dict(change["before"]), dict(change["after"])
    text = Text(end="")
    preview = shown.one_line(change.get("preview", ""))
    if "content" in before:
        text.append_text(diff.unified(before.pop("content"), after.pop("content"), colours))
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
        text.append(shown.value(before[name]), colours["error"])
        text.append(" → ", "dim")
        text.append(shown.value(after[name]) + "\n", colours["success"])
    return text

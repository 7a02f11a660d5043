"""What an undo does to memories, as coloured text."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from jmem.cli.text import wrap
from jmem.tui import shown

MOST = 50
"""Memories whose change is shown."""
_LINES = 2


def changes_text(answer: dict[str, Any], colours: dict[str, str], width: int) -> Text:
    """The `changes` of POST /undo: each memory's text, or the old and the new one, then what else differs."""
    text = Text(no_wrap=False)
    for change in answer["changes"][:MOST]:
        _change(text, change, colours, width)
    left = answer["changed"] - len(answer["changes"][:MOST])
    if left > 0:
        text.append(f"and {left:,} more\n", "dim")
    text.right_crop(1)
    return text


def _change(text: Text, change: dict[str, Any], colours: dict[str, str], width: int) -> None:
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
            text.append(f"  {name}: {_value(old)} → {_value(after.get(name))}\n", "dim")


def _value(value: Any) -> str:
    if value in (None, [], {}):
        return "none"
    return shown.one_line(" ".join(map(str, value)) if isinstance(value, list) else str(value))

"""What an undo does to memories, for people."""

from __future__ import annotations

from jmem.cli.render import GAP, plain_value
from jmem.cli.text import cut, one_line, short_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.output import Output

    Document = dict[str, Any]

SHOWN = 20
"""Memories whose change is shown."""


def show(out: Output, answer: Document) -> None:
    """Each memory of `changes` with what becomes of it, the first ones only."""
    found = answer["changes"][:SHOWN]
    short = short_ids(change["id"] for change in found)
    for change in found:
        id = short[change["id"]]
        room = max(out.columns - len(id) - len(GAP), 16)
        for number, (style, line) in enumerate(_lines(change)):
            start = " " * len(id) if number else out.paint("id", id)
            shown = cut(line, room)
            out.line(start + GAP + (out.paint(style, shown) if style else shown))
    if answer["changed"] > len(found):
        out.line(out.paint("dim", f"and {answer['changed'] - len(found):,} more"))


def _lines(change: Document) -> list[tuple[str, str]]:
    """(style, line): the text, or the old and the new one, then what else differs."""
    before, after = dict(change["before"]), dict(change["after"])
    lines = []
    if "content" in before:
        lines = [("removed", f"- {_flat(before.pop('content'))}"), ("added", f"+ {_flat(after.pop('content'))}")]
    elif "deleted" in before:
        sign, style = ("-", "removed") if after["deleted"] else ("+", "added")
        lines = [(style, f"{sign} {_flat(change['preview'])}")]
    else:
        lines = [("", f"  {_flat(change['preview'])}")]
    if "deleted" in before:
        lines.append(("dim", "  is deleted" if after["deleted"] else "  is brought back"))
    for name in before:
        if name != "deleted":
            lines.append(("dim", f"  {name}: {_value(before[name])} → {_value(after[name])}"))
    return lines


def _flat(text: str) -> str:
    return one_line(" ".join(text.split()))


def _value(value: Any) -> str:
    if value in (None, [], {}):
        return "none"
    return one_line(" ".join(map(str, value)) if isinstance(value, list) else plain_value(value))

"""The receipt of what was forgotten for ever: each place, and what was done there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from jmem.cli.editor import kept_files
from jmem.cli.text import local_time, wrap
from jmem.tui import shown

SHOWN = 20
"""Memories whose receipts are shown; the places are the same for all."""
_PLACE = 24


def receipt(purged: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> tuple[str, Text]:
    """A heading, and a text that says where the memories were, and that they are there no more."""
    text = Text()
    for one in purged[:SHOWN]:
        lines = one["receipt"]
        when = f"  {local_time(max(line['at'] for line in lines))}" if lines else ""
        text.append("✓ ", colours["success"])
        text.append(one["id"], "bold")
        text.append(f"{when}\n", "dim")
        for line in lines:
            for number, part in enumerate(wrap(shown.one_line(line["result"]), 68 - _PLACE)):
                text.append("  " + ("" if number else shown.fit(shown.one_line(line["place"]), _PLACE - 1)).ljust(_PLACE), "dim")  # fmt: skip
                text.append(part + "\n")
        for path in kept_files(one["id"]):
            text.append("  ! ", colours["warning"])
            text.append(f"a text of it is in {shown.one_line(path)}, where your editor left it: delete that yourself\n")
    if len(purged) > SHOWN:
        text.append(f"\nand {len(purged) - SHOWN:,} more, each from the same places\n", "dim")
    text.rstrip()
    return "Forgotten for ever" if len(purged) == 1 else f"{len(purged):,} forgotten for ever", text

"""Before what another program did is taken back: who did it, when, and what becomes of each memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from jmem.cli.render import ago
from jmem.cli.text import local_time
from jmem.tui import shown
from jmem.tui.changes import change_text
from jmem.tui.screens.confirm import Answer, Choice

SHOWN = 30
"""Memories whose change is shown."""


class UndoPreview(Choice):
    """Answers "yes", or nothing."""

    DEFAULT_CSS = """
    UndoPreview > .box { width: 100; }
    """

    def __init__(self, answer: Mapping[str, Any], redo: bool, colours: Mapping[str, str]) -> None:
        verb = "Do it again" if redo else "Take it back"
        answers = (Answer("", "n", "leave it"), Answer("yes", "y", verb.lower()))
        super().__init__(f"{verb}?", _told(answer, redo, colours), answers)


def _told(answer: Mapping[str, Any], redo: bool, colours: Mapping[str, str]) -> Text:
    action = answer["undone"][0]
    count = answer["changed"]
    text = Text()
    text.append("What was undone last is by " if redo else "The last change is by ")
    text.append(shown.one_line(action["client"]), f"bold {colours['primary']}")
    text.append(f": {action['kind']}, {local_time(action['at'])} ({ago(action['at'])}).\n")
    many = "1 memory changes" if count == 1 else f"{count:,} memories change"
    text.append(f"{many}, so:\n", "")
    for change in answer["changes"][:SHOWN]:
        text.append("\n")
        text.append_text(change_text(change, colours))
    if count > SHOWN:
        text.append(f"\nand {count - SHOWN:,} more\n", "dim")
    for skipped in answer["skipped"]:
        text.append(f"\n{skipped['id'][-6:]} stays as it is: {skipped['reason']}\n", colours["warning"])
    return text

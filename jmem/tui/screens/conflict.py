"""Somebody else changed the memory while it was being edited: theirs and mine, what differs, and three ways on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from jmem.cli.text import local_time
from jmem.tui import diff, shown
from jmem.tui.saving import NAMES
from jmem.tui.screens.confirm import Answer, Choice

MINE, THEIRS, EDIT = "mine", "theirs", "edit"


class ConflictDialog(Choice):
    """Answers MINE, THEIRS or EDIT; Esc goes on editing too."""

    DEFAULT_CSS = """
    ConflictDialog > .box { width: 110; border: round $warning; border-title-color: $warning; }
    """

    def __init__(
        self, theirs: Mapping[str, Any], mine: Mapping[str, Any], fields: Sequence[str], by: str,
        colours: Mapping[str, str],
    ) -> None:  # fmt: skip
        answers = (
            Answer(EDIT, "e", "go on editing"),
            Answer(MINE, "m", "keep mine"),
            Answer(THEIRS, "t", "take theirs"),
        )
        super().__init__("Changed meanwhile", _told(theirs, mine, fields, by, colours), answers)


def _told(
    theirs: Mapping[str, Any], mine: Mapping[str, Any], fields: Sequence[str], by: str, colours: Mapping[str, str]
) -> Text:
    text = Text()
    text.append(shown.one_line(by) or "Somebody", "bold")
    text.append(
        f" changed this memory at {local_time(theirs['updated_at'])[11:]}, while you did. Nothing is saved yet.\n"
    )
    for name in fields:
        text.append(f"\n{NAMES.get(name, name).capitalize()}   ", f"bold {colours['secondary']}")
        text.append("- theirs  ", colours["error"])
        text.append("+ mine\n", colours["success"])
        text.append_text(_difference(theirs[name], mine[name], colours))
    return text


def _difference(theirs: Any, mine: Any, colours: Mapping[str, str]) -> Text:
    if isinstance(theirs, str) and isinstance(mine, str):
        return diff.unified(theirs, mine, colours)
    return diff.unified(shown.value(theirs), shown.value(mine), colours)

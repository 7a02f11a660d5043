"""What a program was told, and why each memory was in the answer."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from jmem.cli.commands.why import why
from jmem.cli.render import ago, said_of
from jmem.cli.text import wrap
from jmem.tui import shown
from jmem.tui.screens.base import Dialog

Access = dict[str, Any]
TEXT_LINES = 3
"""Lines shown of one memory."""


class Answers(Dialog[None]):
    """All of one answer; scrolls."""

    DEFAULT_CSS = """
    Answers > .box { width: 100; height: auto; max-height: 95%; border-title-color: $primary; }
    Answers VerticalScroll { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box") as box:
            box.border_title = "What was answered, and why"
            box.border_subtitle = "Esc"
            yield Static("", id="text", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        width = min(event.size.width, 100) - 5
        self.query_one("#text", Static).update(answers_text(self._access, self.app.theme_variables, width))


def answers_text(access: Access, colours: dict[str, str], width: int, most: int | None = None) -> Text:
    """An access of the log, with `content`, for so many columns; of its memories the first `most`."""
    detail, answers = access["detail"], access["answers"]
    text = Text(no_wrap=False)
    head = [shown.one_line(access["client"]), shown.one_line(access["what"]), ago(access["at"])]
    if "took_ms" in detail:
        head.append(f"{detail['took_ms']:.0f} ms")
    total = int(detail.get("count", len(answers)))
    said = said_of(detail)
    if not detail.get("refused"):
        head.append("no memory" if not total else "1 memory" if total == 1 else f"{total:,} memories")
    text.append(" · ".join(head), "dim")
    text.append(f" · {said}\n" if said else "\n", colours["error" if detail.get("refused") else "warning"])
    if access["query"]:
        for line in wrap(shown.one_line(" ".join(access["query"].split())), width, 4):
            text.append(line + "\n", f"bold {colours['accent']}")
    if detail.get("confident") is False and answers:
        text.append("Probably nothing is known about this. The nearest:\n", colours["warning"])
    if answers:
        text.append("\n")
    for answer in answers[:most]:
        _answer(text, answer, colours, width)
    left = total - len(answers[:most])
    if left > 0:
        text.append(f"and {left:,} more\n", "dim")
    text.right_crop(1)
    return text


def _answer(text: Text, answer: dict[str, Any], colours: dict[str, str], width: int) -> None:
    score = "" if answer["score"] is None else f"{answer['score']:.2f}  "
    start = f"{answer['rank']:>2}  "
    indent = len(start) + len(score)
    content = answer["content"]
    flat = shown.one_line(" ".join(content[:2_000].split())) if content else "(no longer held)"
    for number, line in enumerate(wrap(flat, max(width - indent, 12), TEXT_LINES)):
        if number:
            text.append(" " * indent)
        else:
            text.append(start, "dim")
            text.append(score, colours["primary"])
        text.append(line + "\n", "dim" if answer["gone"] else "")
    since = [
        word for name, word in (("changed", "changed since"), ("gone", "deleted since")) if answer[name] and content
    ]
    reasons = " · ".join([*why(answer["legs"]), *since])
    if reasons:
        for line in wrap(reasons, max(width - indent, 12)):
            text.append(" " * indent)
            text.append(line + "\n", "dim")

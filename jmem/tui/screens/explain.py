"""Why a memory was found, leg by leg, and which programs got it, when, for which question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from jmem.cli.render import ago
from jmem.cli.text import age, wrap
from jmem.client import Client
from jmem.tui import legs, shown
from jmem.tui.feed import Accessed, Changed
from jmem.tui.main import CLIENT
from jmem.tui.screens.page import Page, title

NARROW = 100
READ, SHOWN = 500, 60
"""Accesses that are asked for, and that are shown."""
WIDEST = 110
"""Columns beyond which lines grow no longer."""
_LABEL = 12
_GOT = {"search": "found it", "list": "listed it", "get": "read it", "similar": "compared it",
        "duplicates": "compared it", "export": "exported it"}  # fmt: skip
"""What gives a memory to a program; who writes one has it already."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Where the memory stood in an answer: `rank` of `of` hits for `query`; `best` is the best bm25 among them."""

    query: str
    rank: int
    of: int
    best: float = 0.0


class Got(Message):
    """Accesses that had the memory in the answer, newest first."""

    def __init__(self, accesses: list[dict[str, Any]]) -> None:
        super().__init__()
        self.accesses = accesses


class ExplainPage(Page):
    """`memory` as the search gave it, with its `explain` if it was searched for."""

    scope = "explain"
    DEFAULT_CSS = """
    ExplainPage #why { border: round $panel; border-title-color: $foreground 70%; padding: 0 1; scrollbar-size-vertical: 1; height: 1fr; }
    ExplainPage #why:focus { border: round $primary; }
    ExplainPage #why Static { height: auto; }
    ExplainPage.-low #why { border: none; }
    """
    AUTO_FOCUS = "#why"

    def __init__(self, memory: dict[str, Any], asked: Asked | None = None) -> None:
        super().__init__()
        self.memory, self._asked = memory, asked
        self._accesses: list[dict[str, Any]] | None = None
        self._everyone = False

    def content(self) -> ComposeResult:
        with VerticalScroll(id="why") as pane:
            pane.border_title = Content(title(self.memory))
            yield Static("", id="legs", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 16, "-low")
        self.call_after_refresh(self._draw)

    def reload(self) -> None:
        id = self.memory["id"]

        def read(daemon: Client) -> Got:
            return Got(daemon.accesses({"limit": READ}, id)["accesses"])

        self.fetch(read, lambda got: got, group="access", exclusive=True)

    def memory_changed(self, change: Changed) -> None:
        """The ranks are those of the search; only accesses go on."""

    def accessed(self, access: Accessed) -> None:
        if access.event["client"] != CLIENT:
            self.reload()

    @on(Got)
    def _got(self, got: Got) -> None:
        self._accesses = got.accesses
        self._draw()

    def _draw(self) -> None:
        width = min(max(self.query_one("#why").size.width - 2, 24), WIDEST)
        colours = self.app.theme_variables
        text = why(self.memory, self._asked, colours, width)
        if self._accesses is not None:
            text.append("\n")
            text.append_text(who(self._accesses, colours, width, everyone=self._everyone))
        self.query_one("#legs", Static).update(text)

    def action_own(self) -> None:
        """Show also what this interface read, or not."""
        self._everyone = not self._everyone
        self._draw()


# ---- why it was found ---------------------------------------------------------------------------------


def bar(share: float, columns: int) -> str:
    """A bar of `columns` columns, filled to `share` (0 to 1); something of anything above nothing."""
    filled = round(max(0.0, min(share, 1.0)) * columns)
    return ("━" * max(filled, int(share > 0))).ljust(columns)


def why(memory: Mapping[str, Any], asked: Asked | None, colours: Mapping[str, str], width: int) -> Text:
    """Each leg's rank and score, then what made the order of them."""
    text = Text()
    explain = memory.get("explain")
    if not explain or asked is None:
        text.append("It was listed, not searched for. ", "bold")
        text.append("Search for something, then this tells why a memory is found and stands where it stands.\n", "dim")
        return text
    text.append(f"No. {asked.rank} of {asked.of:,}", f"bold {colours['primary']}")
    text.append(" for ", "dim")
    text.append(f"“{shown.fit(shown.one_line(asked.query), max(width - 22, 10)).rstrip()}”\n\n")
    columns = 24 if width >= 70 else 12
    _words(text, explain, asked, colours, width, columns)
    _meaning(text, explain, colours, width, columns)
    text.append("\n")
    _fusion(text, memory, explain, colours, width, columns)
    return text


def _line(text: Text, label: str, share: float, said: str, colour: str, width: int, columns: int) -> None:
    """A label, a bar and words, folded below themselves where there is little room."""
    text.append(shown.fit(label, _LABEL), "bold")
    text.append(bar(share, columns), colour)
    indent = _LABEL + columns + 2
    for number, part in enumerate(wrap(said, max(width - indent, 12))):
        text.append("  " if not number else " " * indent)
        text.append(part + "\n")


def _words(text: Text, explain: Mapping[str, Any], asked: Asked, colours: Mapping[str, str], width: int, columns: int) -> None:  # fmt: skip
    score = explain["text"]["score"]
    share = score / max(asked.best, score) if score else 0.0
    _line(text, "words", share, legs.words(explain), colours["accent"], width, columns)


def _meaning(text: Text, explain: Mapping[str, Any], colours: Mapping[str, str], width: int, columns: int) -> None:
    share = explain["vector"]["score"] or 0.0
    _line(text, "meaning", share, legs.meaning(explain), colours["secondary"], width, columns)


def _fusion(
    text: Text,
    memory: Mapping[str, Any],
    explain: Mapping[str, Any],
    colours: Mapping[str, str],
    width: int,
    columns: int,
) -> None:
    """What each of them weighs in the sum that the order is made of."""
    total = explain["total"] or 0.0
    meaning, recency, speaker = explain["vector"]["z"] or 0.0, explain["recency"] or 0.0, explain["speaker"] or 0.0
    parts = [
        ("meaning", meaning, ""),
        ("recency", recency, "for being new, at most 0.1"),
    ]
    if speaker:
        parts.append(("speaker", speaker, "the question names who said it"))
    moved = explain.get("superseded_by")
    if not moved:  # what was superseded has the place that is left for it, not its own sum
        parts.insert(0, ("words", total - meaning - recency - speaker, ""))
    text.append("What each weighs", f"bold {colours['primary']}")
    text.append(", against what else was found\n", "dim")
    most = max([abs(value) for _, value, _ in parts] + [abs(total), 0.01])  # one scale for all of them
    for name, value, said in parts:
        colour = colours["success"] if value >= 0 else colours["error"]
        _line(text, name, abs(value) / most, f"{value:+.2f}  {said}", colour, width, columns)
    text.append(f"{'together':<{_LABEL}}", "bold")
    text.append(bar(abs(total) / most, columns), colours["primary" if total >= 0 else "error"])
    text.append(f"  {total:+.2f}", "bold")
    text.append(f" = a score of {memory.get('score', 0.0):.2f}\n")
    if moved:
        said = f"{moved[-6:]} took its place, so that it stands below it whatever its own score"
        for part in wrap(said, width):
            text.append(part + "\n", colours["warning"])


# ---- who got it ---------------------------------------------------------------------------------------


def who(
    accesses: Sequence[Mapping[str, Any]], colours: Mapping[str, str], width: int, *, everyone: bool = False
) -> Text:
    """The programs that got it, most recent first, then each time with the question and its rank."""
    got = [access for access in accesses if access["what"] in _GOT]
    others = [access for access in got if everyone or access["client"] != CLIENT]
    text = Text()
    text.append("Who got it\n", f"bold {colours['primary']}")
    if not others:
        text.append("No program has got it yet.\n", "dim")
        return text
    totals: dict[str, list[str]] = {}
    for access in others:
        totals.setdefault(access["client"], []).append(access["at"])
    summary = [f"{shown.one_line(name)} {len(times):,}×, last {ago(times[0])}" for name, times in totals.items()]
    for part in wrap("  ·  ".join(summary), width):
        text.append(part + "\n")
    text.append("\n")
    for access in others[:SHOWN]:
        _access(text, access, colours, width)
    if len(others) > SHOWN:
        text.append(f"and {len(others) - SHOWN:,} more times\n", "dim")
    return text


def _access(text: Text, access: Mapping[str, Any], colours: Mapping[str, str], width: int) -> None:
    text.append(age(access["at"]).rjust(4) + "  ", "dim")
    text.append(shown.fit(shown.one_line(access["client"]), 14 if width >= 70 else 9) + " ", colours["primary"])
    answer: Mapping[str, Any] = next(iter(access["answers"]), {})
    used = 21 if width >= 70 else 16
    if access["what"] == "search":
        query = access.get("query")
        place = f"no. {answer['rank']}" if answer.get("rank") else ""
        legs = answer.get("legs") or {}
        found = " + ".join(
            word for word, leg in (("words", "text"), ("meaning", "vector")) if (legs.get(leg) or {}).get("rank")
        )
        told = " · ".join(part for part in (place, found if width >= 70 else "") if part)
        room = max(width - used - shown.cell_len(told) - 2, 8)
        text.append(shown.fit(f"“{shown.one_line(query)}”" if query else "(forgotten)", room))
        text.append(f"  {told}", "dim")
    else:
        text.append(_GOT[access["what"]], "dim")
    text.append("\n")

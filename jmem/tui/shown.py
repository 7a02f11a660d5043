"""How memories look on the screen: harmless text, marked words, ages, in the colours of the theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from rich.cells import cell_len as cell_len
from rich.cells import set_cell_size
from rich.style import Style
from rich.text import Text

from jmem.cli import render
from jmem.cli.text import age, block
from jmem.cli.text import one_line as one_line
from jmem.core.words import WORD

Memory = Mapping[str, Any]
HEAD_CHARS = 600
"""Of a text, what a line of a list can ever show."""


def headline(memory: Memory) -> str:
    """The text on one line, runs of white space as one space, nothing in it that a terminal would obey."""
    text = memory["content"][:HEAD_CHARS]
    if memory.get("speaker"):
        text = f"{memory['speaker']}: {text}"
    return one_line(" ".join(text.split()))


def whole(text: str) -> str:
    """A text with its lines, nothing in it that a terminal would obey."""
    return block(text).rstrip("\n")


@lru_cache(maxsize=8)
def question_words(query: str) -> tuple[str, ...]:
    """The words of a question worth marking, without a plural's s."""
    return tuple(render.question_words(query))


def marked(text: str, words: Sequence[str], style: str | Style) -> Text:
    """`text` with the words that begin like one of `words` in `style`."""
    shown = Text(text, no_wrap=True, end="")
    if words:
        for found in WORD.finditer(text):
            if found.group().lower().startswith(tuple(words)):
                shown.stylize(style, found.start(), found.end())
    return shown


def fit(text: str, columns: int) -> str:
    """`text` cut or filled to exactly so many columns, with `…` where something is missing."""
    if cell_len(text) <= columns:
        return set_cell_size(text, columns)
    return set_cell_size(set_cell_size(text, max(columns - 1, 0)).rstrip() + "…", columns) if columns > 0 else ""


def moment(memory: Memory, sort: str = "") -> str:
    """What a list tells the age of: that which it is sorted by, else when it happened."""
    if sort.lstrip("-") in ("created", "updated"):
        return str(memory[f"{sort.lstrip('-')}_at"])
    return str(memory.get("occurred_at") or memory["created_at"])


def age_of(memory: Memory, sort: str = "") -> str:
    """`3d`, `2w`, `now`."""
    return age(moment(memory, sort))


def state_of(memory: Memory) -> str:
    """Its state in one word; deleted is one here."""
    return "deleted" if memory.get("deleted") else str(memory["state"])


def value(of: Any) -> str:
    """A field's value for people, on one line."""
    if of in (None, [], {}, ""):
        return "none"
    return one_line(", ".join(map(str, of)) if isinstance(of, list) else str(of))

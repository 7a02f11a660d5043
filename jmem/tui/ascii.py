"""For terminals that take no UTF-8: every character beyond ASCII becomes one of its width."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_LINES = str.maketrans(
    {
        **dict.fromkeys("─━═╌┄▁▔▀▄", "-"),
        **dict.fromkeys("│┃║╎┆▌▐▎▏▕", "|"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝┏┓┗┛", "+"),
        **dict.fromkeys("●◆■▪•", "*"),
        **dict.fromkeys("○◇□▫·", "."),
        **dict.fromkeys("↑▲△", "^"),
        **dict.fromkeys("↓▼▽", "v"),
        **dict.fromkeys("←◀‹«❮", "<"),
        **dict.fromkeys("→▶›»❯▸⏎", ">"),
        "…": "~",
        "×": "x",
        **dict.fromkeys("░▒▓", "."),
        "✓": "+",
        "✗": "-",
        "—": "-",
        "–": "-",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "█": "#",
        "⚠": "!",
    }
)


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """`text` in ASCII, as many columns wide."""
    text = text.translate(_LINES)
    if text.isascii():
        return text
    return "".join(character if character.isascii() else _one(character) for character in text)


def _one(character: str) -> str:
    width = cell_len(character)
    letter = unicodedata.normalize("NFKD", character)[:1]
    return letter if letter.isascii() and width == 1 else "?" * width


class AsciiFilter(LineFilter):
    """The last thing before the terminal."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments with plain text."""
        return [s if s.control or s.text.isascii() else Segment(plain(s.text), s.style) for s in segments]

"""For terminals without colours, and people who want none: what colours say is said by reverse, bold and dim."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_APART = 60
"""How far, over red, green and blue, a ground is from that of the screen to be shown."""
_FAINT = 0.45
"""How bright a text is at most, of the brightest, to be shown dim."""
_COLOURED = ("xterm", "tmux", "screen", "rxvt", "alacritty", "kitty", "linux", "foot", "wezterm", "ghostty", "konsole", "st-", "vte", "iterm")  # fmt: skip


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the person asks for no colour, or the terminal has none."""
    if environ.get("NO_COLOR"):
        return True
    term = environ.get("TERM", "")
    if environ.get("COLORTERM") or term.startswith(_COLOURED) or os.name == "nt":
        return False
    import curses

    try:
        curses.setupterm(term)
        return curses.tigetnum("colors") < 8
    except curses.error:
        return term in ("", "dumb", "unknown")


class Colourless(LineFilter):
    """Takes every colour away, for a theme whose ground is black."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same text, with attributes only."""
        return [s if s.control or s.style is None else Segment(s.text, _plain(s.style), None) for s in segments]


@lru_cache(maxsize=2048)
def _plain(style: Style) -> Style:
    ground = sum(_rgb(style.bgcolor, 0))
    text = max(_rgb(style.color, 255)) / 255
    reverse = bool(style.reverse) ^ (ground > _APART)
    return Style(
        bold=style.bold, italic=style.italic, underline=style.underline, strike=style.strike, reverse=reverse,
        dim=bool(style.dim) or (text < _FAINT and not reverse), meta=style.meta or None,
    )  # fmt: skip


def _rgb(colour: RichColor | None, usual: int) -> tuple[int, int, int]:
    if colour is None or colour.is_default:
        return (usual, usual, usual)
    red, green, blue = colour.get_truecolor()
    return red, green, blue

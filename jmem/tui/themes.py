"""The colours: dark, light, high contrast, and those of the user's `tui.toml`. NO_COLOR is Textual's to obey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

_COLORS = (
    "primary",
    "secondary",
    "warning",
    "error",
    "success",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
)

DARK = Theme(
    "dark", primary="#7aa2f7", secondary="#9d7cd8", accent="#e0af68", success="#9ece6a", warning="#e0af68",
    error="#f7768e", foreground="#c0caf5", background="#13141c", surface="#1a1b26", panel="#24283b", dark=True,
)  # fmt: skip
LIGHT = Theme(
    "light", primary="#2e5fb8", secondary="#7847bd", accent="#8f5e15", success="#3b6e1f", warning="#8f5e15",
    error="#b3261e", foreground="#2a2c3a", background="#f6f6f9", surface="#ffffff", panel="#e4e6ee", dark=False,
)  # fmt: skip
CONTRAST = Theme(
    "contrast", primary="#ffff00", secondary="#00ffff", accent="#ffff00", success="#00ff00", warning="#ffff00",
    error="#ff6060", foreground="#ffffff", background="#000000", surface="#000000", panel="#303030", dark=True,
    text_alpha=1.0,
)  # fmt: skip
CONTRAST_TEXT = Color.parse("#ffffff")
BUILT_IN: tuple[Theme, ...] = (DARK, LIGHT, CONTRAST)


def with_dim(variables: dict[str, str]) -> dict[str, str]:
    """The variables of a theme and `dim`, for text that is less important: a style of a part of a line can't be translucent."""
    try:
        text, ground = Color.parse(variables["foreground"]), Color.parse(variables["background"])
    except (ColorParseError, KeyError):
        return {**variables, "dim": "ansi_default"}
    return {
        **variables,
        "dim": ground.blend(text, 0.9 if text == CONTRAST_TEXT else 0.6 if ground.brightness < 0.5 else 0.7).hex,
    }


def custom(name: str, colours: Mapping[str, Any]) -> Theme:
    """A user's theme on top of our dark or light one; raises ValueError that says which entry is wrong."""
    base = LIGHT if colours.get("dark") is False else DARK
    values: dict[str, Any] = {key: getattr(base, key) for key in _COLORS}
    for key, value in colours.items():
        if key == "dark":
            if not isinstance(value, bool):
                raise ValueError(f"theme {name}: dark must be true or false")
            continue
        if key not in _COLORS:
            raise ValueError(f"theme {name}: unknown colour {key!r}; there are {', '.join(_COLORS)}")
        try:
            Color.parse(value)
        except (ColorParseError, TypeError, AttributeError):
            raise ValueError(f"theme {name}: {value!r} is no colour") from None
        values[key] = value
    return Theme(name, **values, dark=base.dark)

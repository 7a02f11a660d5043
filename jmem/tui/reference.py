"""Prints docs/keys.md: every action and its keys, from the registry. `python -m jmem.tui.reference > docs/keys.md`"""

from __future__ import annotations

import sys

from jmem.tui import actions

_NAMES = {
    "question_mark": "?", "slash": "/", "asterisk": "*", "space": "Space", "escape": "Esc", "enter": "Enter",
    "pageup": "PgUp", "pagedown": "PgDn", "up": "↑", "down": "↓", "left": "←", "right": "→", "delete": "Del", "tab": "Tab",
    "plus": "+", "minus": "-", "equals_sign": "=", "comma": ",", "full_stop": ".",
}  # fmt: skip


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Keys of the terminal interface",
        "",
        "Made by `python -m jmem.tui.reference`; [terminal.md](terminal.md) tells how it is used. Any key can be another:",
        "`[keys]` in `tui.toml` takes the name of the action.",
    ]
    for scope, title in actions.SCOPES.items():
        if found := actions.of(scope):
            lines += ["", f"## {title}", "", "| keys | action | what it does | name |", "|---|---|---|---|"]
            lines += [f"| {_keys(a)} | {a.title} | {a.help} | `{a.id}` |" for a in found]
    return "\n".join(lines) + "\n"


def _keys(action: actions.Action) -> str:
    return " ".join(f"`{_shown(key)}`" for key in actions.keys_of(action, {}))


def _shown(key: str) -> str:
    *before, last = key.split("+") if len(key) > 1 else [key]
    return "-".join([*(word.capitalize() for word in before), _NAMES.get(last, last)])


if __name__ == "__main__":
    sys.stdout.write(page())

"""What a person has chosen for the interface: `tui.toml` in the home of jmem, read at start, written by Settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jmem.tui.actions import BY_ID

FILE = "tui.toml"


@dataclass(frozen=True, slots=True)
class Prefs:
    """`theme` by name; `keys` action id -> keys with commas; `themes` name -> colours; `problems` in plain words."""

    theme: str = "dark"
    keys: Mapping[str, str] = field(default_factory=dict)
    themes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def path(home: str) -> Path:
    """Of the file."""
    return Path(home) / FILE


def load(home: str) -> Prefs:
    """The person's choices; what is wrong in the file is told in `problems` and otherwise as if it were not there."""
    try:
        raw = tomllib.loads(path(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Prefs()
    except (OSError, ValueError, RecursionError) as error:
        return Prefs(problems=(f"{path(home)} can't be read: {error}",))
    problems: list[str] = [f"{FILE}: unknown entry {name!r}" for name in raw if name not in ("theme", "keys", "themes")]
    keys: dict[str, str] = {}
    for id, value in _table(raw, "keys", problems).items():
        if id not in BY_ID:
            problems.append(f"{FILE}: no action is called {id!r}")
        elif not isinstance(value, str):
            problems.append(f'{FILE}: the keys of {id} must be text, such as "e,f4"')
        else:
            keys[id] = value
    themes = {name: t for name, t in _table(raw, "themes", problems).items() if isinstance(t, dict)}
    theme = raw.get("theme", "dark")
    if not isinstance(theme, str):
        problems.append(f"{FILE}: theme must be a name")
        theme = "dark"
    return Prefs(theme, keys, themes, tuple(problems))


def _table(raw: Mapping[str, Any], name: str, problems: list[str]) -> Mapping[str, Any]:
    value = raw.get(name, {})
    if isinstance(value, dict):
        return value
    problems.append(f"{FILE}: {name} must be a table")
    return {}


def save(home: str, name: str, value: Any) -> None:
    """Set one entry (`theme`, `keys.memories.edit`; None removes it), comments and the rest kept; raises OSError."""
    import tomlkit

    file = path(home)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    document = tomlkit.parse(text)
    table: Any = document
    first, _, rest = name.partition(".")
    if rest:
        table = document.setdefault(first, tomlkit.table())
    if value is None:
        table.pop(rest or first, None)
    else:
        table[rest or first] = value
    fresh = file.with_suffix(".new")
    with open(fresh, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as out:
        out.write(tomlkit.dumps(document))
    fresh.replace(file)

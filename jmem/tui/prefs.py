"""What a person has chosen for the interface: `tui.toml` in the home of jmem, read at start, written by Settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jmem.core.errors import Invalid
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
        text = path(home).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Prefs()
    except (OSError, ValueError) as error:
        return Prefs(problems=(f"{path(home)} can't be read: {error}",))
    import tomllib  # 5 ms of a start that most people don't need

    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return Prefs(problems=(f"{path(home)} can't be read: {error}",))
    problems: list[str] = [f"{FILE}: unknown entry {name!r}" for name in raw if name not in ("theme", "keys", "themes")]
    keys = _keys(_table(raw, "keys", problems), problems)
    themes: dict[str, Mapping[str, Any]] = {}
    for name, theme in _table(raw, "themes", problems).items():
        if isinstance(theme, dict):
            themes[name] = theme
        else:
            problems.append(f"{FILE}: themes.{name} must be a table of colours")
    chosen = raw.get("theme", "dark")
    if not isinstance(chosen, str):
        problems.append(f"{FILE}: theme must be a name")
        chosen = "dark"
    return Prefs(chosen, keys, themes, tuple(problems))


def _table(raw: Mapping[str, Any], name: str, problems: list[str]) -> Mapping[str, Any]:
    value = raw.get(name, {})
    if isinstance(value, dict):
        return value
    problems.append(f"{FILE}: {name} must be a table")
    return {}


def _keys(table: Mapping[str, Any], problems: list[str]) -> dict[str, str]:
    """Action id -> keys, from `"memories.edit" = "e"` and from `[keys.memories] edit = "e"`."""
    if not table:
        return {}
    from jmem.tui import keymap

    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat.update(
            {f"{name}.{method}": keys for method, keys in value.items()} if isinstance(value, dict) else {name: value}
        )
    found: dict[str, str] = {}
    for id, value in flat.items():
        if id not in BY_ID:
            problems.append(f"{FILE}: no action is called {id!r}")
            continue
        if not isinstance(value, str) or not value.strip():
            problems.append(f'{FILE}: the keys of {id} must be text, such as "e,f4"')
            continue
        keys = [key.strip() for key in value.split(",") if key.strip()]
        problems += [f"{FILE}: no key is called {key!r} ({id})" for key in keys if not keymap.known(key)]
        if good := [keymap.name_of(key) for key in keys if keymap.known(key)]:
            found[id] = ",".join(good)
    problems += [f"{FILE}: {keymap.told(*clash)}" for clash in keymap.clashes(found)]
    return found


def save(home: str, name: str, value: str | None) -> None:
    """Set one entry (`theme`, `keys.memories.edit`; None removes it), comments and the rest kept.

    Raises OSError, and Invalid where the file is no TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = path(home)
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise Invalid(f"{file} can't be read: {error}", code="bad_config", fix=f"mend or remove {file}") from None
    _set(document, name, value, tomlkit.table)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with open(fresh, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as out:
        out.write(tomlkit.dumps(document))
    fresh.replace(file)


def _set(document: Any, name: str, value: str | None, make: Callable[[], Any]) -> None:
    """Where it stands already, in whichever of the two forms, else in the table of its scope."""
    *parents, last = name.split(".")
    table = document
    for depth, parent in enumerate(parents):
        rest = ".".join(name.split(".")[depth:])
        if rest in table:
            last = rest
            break
        if not isinstance(table.get(parent), dict):
            if value is None:
                return
            table[parent] = make()
        table = table[parent]
    if value is None:
        table.pop(last, None)
    else:
        table[last] = value

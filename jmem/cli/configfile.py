"""config.toml, changed without touching what else is in it: comments, order, blank lines."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from jmem.core.errors import Invalid

_NAME = "name"
"""`embedder` is a setting and the table of others: beside them its value is written as embedder.name."""


def put(path: Path, key: str, value: Any) -> None:
    """Set `key`; raises Invalid when the file can't be read."""
    document = _read(path)
    table, name = _place(document, key, make=True)
    assert table is not None
    if isinstance(table.get(name), dict):
        table[name][_NAME] = value
    else:
        table[name] = value
    _write(path, document)


def take(path: Path, key: str) -> bool:
    """Remove `key`; whether it was there."""
    document = _read(path)
    table, name = _place(document, key, make=False)
    if table is None or name not in table:
        return False
    if isinstance(table[name], dict):
        if _NAME not in table[name]:
            return False
        table, name = table[name], _NAME
    del table[name]
    _write(path, document)
    return True


def _place(document: Any, key: str, *, make: bool) -> tuple[Any, str]:
    """The table that holds the last part of `key`, made where it is missing."""
    *parents, name = key.split(".")
    table: Any = document
    for parent in parents:
        held = table.get(parent)
        if not isinstance(held, dict):
            if not make:
                return None, name
            fresh: Table = tomlkit.table()
            if held is not None:
                fresh[_NAME] = held
                del table[parent]
            table[parent] = fresh
        table = table[parent]
    return table, name


def _read(path: Path) -> Any:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise Invalid(f"{path} can't be read: {error}", code="bad_config", fix="jmem config edit") from None


def _write(path: Path, document: Any) -> None:
    """Replace the file whole; it may hold keys, so only its owner reads it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".config-", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(tomlkit.dumps(document))
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)

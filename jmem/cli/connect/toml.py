"""One table of a TOML file, set or removed with the rest of the text left as it is."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from jmem.cli.connect.jsonc import Broken


def parse(text: str) -> dict[str, Any]:
    """The document as plain values; raises Broken with line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Broken(str(error)) from None


def get(text: str, path: Sequence[str]) -> Any:
    """The value at a path of keys, None where there is none."""
    value: Any = parse(text)
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def put(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with the table `path` set to `value`; a new one goes to the end. Raises Broken."""
    parent = get(text, path[:-1])
    if parent is not None and not isinstance(parent, dict):
        raise Broken(f"{'.'.join(path[:-1])} is not a table")
    want = _with(parse(text), path, value)
    newline = "\r\n" if "\r\n" in text else "\n"
    block = newline.join(_table(path, value)) + newline
    section = _section(text, path) if get(text, path) is not None else None
    start, end = section or (len(text), len(text))
    lead = text[:start]
    if start == len(text) and text.strip():
        lead += newline if text.endswith("\n") else newline * 2
    out = lead + block + text[end:]
    if not _same(out, want):  # the parent is an inline table, or the entry is spelt with dotted keys
        out = _edited(text, path, value)
    if _same(out, want):
        return out
    raise Broken(f"{'.'.join(path)} can't be set in this file; its layout is unusual")


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the table at `path` and the blank line before it; the same text where it is not there."""
    if get(text, path) is None:
        return text
    want = _with(parse(text), path, None)
    bare = {key: item for key, item in want.items() if key != path[0] or item}
    if section := _section(text, path):
        start, end = section
        blank = "\r\n" if text[:start].endswith("\r\n\r\n") else "\n" if text[:start].endswith("\n\n") else ""
        out = text[: start - len(blank)] + text[end:]
        if _same(out, want) or _same(out, bare):
            return out
    out = _edited(text, path, None)
    if not (_same(out, want) or _same(out, bare)):
        raise Broken(f"{'.'.join(path)} can't be removed from this file; its layout is unusual")
    return out


def _section(text: str, path: Sequence[str]) -> tuple[int, int] | None:
    """From the head of the table at `path` to the end of its last line, its own inner tables included."""
    start = end = at = 0
    inside = found = False
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = _head(stripped)[: len(path)] == list(path)
            if inside and not found:
                found, start = True, at
        at += len(line)
        if inside and stripped and not stripped.startswith("#"):
            end = at
    return (start, end) if found else None


def _head(line: str) -> list[str]:
    """The keys of a table's head; empty when the line is none."""
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return []
    keys = []
    while isinstance(value, dict) and value:
        keys.append(next(iter(value)))
        value = value[keys[-1]]
    return keys


def _with(document: dict[str, Any], path: Sequence[str], value: Mapping[str, Any] | None) -> dict[str, Any]:
    """The document with the value at `path` set, or removed when it is None."""
    out = dict(document)
    if len(path) == 1:
        out.pop(path[0], None)
        return out if value is None else {**out, path[0]: dict(value)}
    return {**out, path[0]: _with(out.get(path[0], {}), path[1:], value)}


def _same(text: str, want: Mapping[str, Any]) -> bool:
    try:
        return parse(text) == want
    except Broken:
        return False


def _edited(text: str, path: Sequence[str], value: Mapping[str, Any] | None) -> str:
    """The change made on a parsed document, for inline tables and dotted keys."""
    import tomlkit

    document = tomlkit.parse(text)
    parent: Any = document
    for key in path[:-1]:
        parent = parent.setdefault(key, tomlkit.table(is_super_table=True))
    if value is None:
        del parent[path[-1]]
        return tomlkit.dumps(document)
    parent.pop(path[-1], None)
    parent[path[-1]] = _inline(value)
    return tomlkit.dumps(document)


def _inline(value: Mapping[str, Any]) -> Any:
    import tomlkit

    table = tomlkit.inline_table()
    for name, item in value.items():
        table[name] = _inline(item) if isinstance(item, dict) else item
    return table


def _table(path: Sequence[str], value: Mapping[str, Any]) -> list[str]:
    """A table as lines; tables inside it follow it under their own heads."""
    lines = [f"[{'.'.join(map(_key, path))}]"]
    lines += [f"{_key(k)} = {_scalar(v)}" for k, v in value.items() if not isinstance(v, dict)]
    for name, inner in value.items():
        if isinstance(inner, dict):
            lines += ["", *_table([*path, name], inner)]
    return lines


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isalnum() and bare.isascii() else json.dumps(name)


def _scalar(value: Any) -> str:
    # JSON text of strings, booleans, numbers and lists of them is TOML too, once DEL is escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

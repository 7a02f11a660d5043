"""JSON with comments, edited as text: every byte outside the member that is set or removed stays as it is.

Other programs' configuration is full of comments, odd indentation and trailing commas that a parse-and-dump
would lose. So the text is scanned into a tree of spans, and an edit is one splice of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_GAP = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MAX_DEPTH = 200


class Broken(ValueError):
    """The text is not what it should be; the message names line and column, or the key."""


@dataclass(slots=True)
class Node:
    """A value and where it stands in the text."""

    start: int
    end: int
    value: Any
    members: list[Member] | None = None
    """the members of an object, in the order of the text; None for other values"""


@dataclass(slots=True)
class Member:
    """One key of an object. `comma` is the place of the comma after it, or None."""

    key: str
    start: int
    node: Node
    comma: int | None = None


@dataclass(slots=True)
class _Scanner:
    text: str
    at: int = 0
    strict: bool = False
    depth: int = field(default=0)

    def fail(self, what: str, at: int | None = None) -> Broken:
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - (self.text.rfind("\n", 0, at) + 1) + 1
        return Broken(f"{what} at line {line}, column {column}")

    def gap(self) -> None:
        match = _GAP.match(self.text, self.at)
        end = match.end() if match else self.at
        if self.strict and "/" in self.text[self.at : end]:
            raise self.fail("a comment, which plain JSON does not allow,", self.text.index("/", self.at))
        self.at = end

    def take(self, char: str) -> bool:
        if self.text.startswith(char, self.at):
            self.at += 1
            return True
        return False

    def value(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.fail("values nested too deeply")
        start = self.at
        if self.take("{"):
            node = self.object(start)
        elif self.take("["):
            node = self.array(start)
        else:
            match = _STRING.match(self.text, start) or _SCALAR.match(self.text, start)
            if match is None:
                raise self.fail("a value is missing or malformed")
            self.at = match.end()
            try:
                node = Node(start, self.at, json.loads(match.group()))
            except ValueError:
                raise self.fail("a malformed string", start) from None
        self.depth -= 1
        return node

    def object(self, start: int) -> Node:
        members: list[Member] = []
        while True:
            self.gap()
            if self.take("}"):
                self.no_trailing_comma(members[-1].comma if members else None)
                return Node(start, self.at, {m.key: m.node.value for m in members}, members)
            if members and members[-1].comma is None:
                raise self.fail("a comma or } is missing")
            begin = self.at
            match = _STRING.match(self.text, begin)
            if match is None:
                raise self.fail("a key in double quotes is missing")
            self.at = match.end()
            self.gap()
            if not self.take(":"):
                raise self.fail("a colon is missing")
            self.gap()
            member = Member(json.loads(match.group()), begin, self.value())
            self.gap()
            if self.take(","):
                member.comma = self.at - 1
            members.append(member)

    def array(self, start: int) -> Node:
        values: list[Any] = []
        comma: int | None = None
        while True:
            self.gap()
            if self.take("]"):
                self.no_trailing_comma(comma)
                return Node(start, self.at, values)
            if values and comma is None:
                raise self.fail("a comma or ] is missing")
            values.append(self.value().value)
            self.gap()
            comma = self.at - 1 if self.take(",") else None

    def no_trailing_comma(self, comma: int | None) -> None:
        if self.strict and comma is not None:
            raise self.fail("a comma after the last value, which plain JSON does not allow,", comma)


def parse(text: str, *, strict: bool = False) -> Node:
    """The tree of a text; `strict` refuses comments and trailing commas. An empty text is an empty object.

    Raises Broken with line and column.
    """
    scanner = _Scanner(text, strict=strict)
    scanner.gap()
    if scanner.at == len(text):
        return Node(len(text), len(text), {}, [])
    root = scanner.value()
    scanner.gap()
    if scanner.at != len(text):
        raise scanner.fail("something follows the end of the document")
    return root


def get(text: str, path: Sequence[str]) -> Any:
    """The value at a path of keys, None where there is none."""
    value = parse(text).value
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def put(text: str, path: Sequence[str], value: Any, *, strict: bool = False) -> str:
    """The text with `value` at `path`: replaced where it is, else added last; missing parents are made.

    Raises Broken when the text can't be parsed or a parent is not an object.
    """
    root = parse(text, strict=strict)
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = _indent_unit(text, root)
    if root.start == root.end:  # an empty file, or comments alone
        for key in reversed(path):
            value = {key: value}
        lead = text.rstrip(" \t\r\n")
        lead += newline if lead.strip("\ufeff") else ""
        return lead + _dump(value, unit, "", newline) + newline
    node = root
    for depth, key in enumerate(path):
        if node.members is None:
            name = ".".join(path[:depth]) or "the document"
            raise Broken(f"{name} is not an object")
        member = next((m for m in reversed(node.members) if m.key == key), None)
        if member is None:
            for inner in reversed(path[depth + 1 :]):
                value = {inner: value}
            return _insert(text, node, key, value, unit, newline)
        node = member.node
    own = _line_indent(text, node.start)
    return text[: node.start] + _dump(value, unit, own, newline) + text[node.end :]


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the member at `path`, with its line and its comma; the same text where it is not there."""
    node = parse(text)
    for key in path[:-1]:
        member = next((m for m in reversed(node.members or []) if m.key == key), None)
        if member is None:
            return text
        node = member.node
    index = max((i for i, m in enumerate(node.members or []) if m.key == path[-1]), default=None)
    if node.members is None or index is None:
        return text
    start, end = _extent(text, node.members, index)
    head = text[:start]
    if index and node.members[index].comma is None:  # the last one takes the comma before it along
        comma = node.members[index - 1].comma or start
        head = text[:comma] + text[comma + 1 : start]
    opened = node.start + 1
    if not head[opened:].strip() and not text[end : node.end - 1].strip():
        return head[:opened] + text[node.end - 1 :]
    return head + text[end:]


def _extent(text: str, members: list[Member], index: int) -> tuple[int, int]:
    """From where to where a member goes, so that its line goes with it when nothing else stands there."""
    gone = members[index]
    start, end = gone.start, gone.node.end if gone.comma is None else gone.comma + 1
    before, after = start, end
    while text[before - 1] in " \t":
        before -= 1
    while text[after] in " \t":
        after += 1
    alone = text[before - 1] == "\n"
    if alone and text[after] in "\r\n":
        return before - (2 if text[before - 2 : before] == "\r\n" else 1), after
    if alone or index == 0:
        return start, after
    return before, end


def _insert(text: str, node: Node, key: str, value: Any, unit: str, newline: str) -> str:
    members = node.members or []
    close = node.end - 1
    inline = "\n" not in text[node.start : node.end] and bool(members)
    if inline:
        last = members[-1]
        at = last.node.end
        return text[:at] + f", {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" + text[at:]
    indent = _line_indent(text, members[-1].start) if members else _line_indent(text, node.start) + unit
    entry = newline + indent + json.dumps(key) + ": " + _dump(value, unit, indent, newline)
    body_end = len(text[:close].rstrip(" \t\r\n"))
    tail = text[body_end:close]
    if "\n" not in tail:
        tail = newline + _line_indent(text, node.start)
    if not members:
        return text[:body_end] + entry + tail + text[close:]
    last = members[-1]
    if last.comma is not None:
        return text[:body_end] + entry + "," + tail + text[close:]
    comma = last.node.end
    return text[:comma] + "," + text[comma:body_end] + entry + tail + text[close:]


def _dump(value: Any, unit: str, indent: str, newline: str) -> str:
    """Objects a key a line, arrays of scalars on one line: how people write these files."""
    if isinstance(value, dict) and value:
        inner = indent + unit
        rows = [f"{inner}{json.dumps(k)}: {_dump(v, unit, inner, newline)}" for k, v in value.items()]
        return "{" + newline + ("," + newline).join(rows) + newline + indent + "}"
    return json.dumps(value, ensure_ascii=False)


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent_unit(text: str, root: Node) -> str:
    """What one level is indented by: as the first member of the document is, else two spaces."""
    for member in root.members or []:
        if "\n" in text[root.start : member.start]:
            return _line_indent(text, member.start) or "  "
        break
    return "  "

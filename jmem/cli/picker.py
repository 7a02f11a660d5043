"""A list that follows what is typed, drawn below the cursor and taken away again."""

from __future__ import annotations

import codecs
import os
import select
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from jmem.cli.text import age, cut, one_line, pad, short_ids, width

Memory = dict[str, Any]
_ROWS = 10
_QUIET = 0.05
"""Seconds without a key after which the typed text is searched for."""
_ESCAPE_WAIT = 0.05
_KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x10": "up", b"\x0b": "up",
    b"\x1b[B": "down", b"\x1bOB": "down", b"\x0e": "down", b"\t": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\r": "enter", b"\n": "enter", b"\x1b": "leave", b"\x03": "leave", b"\x07": "leave", b"\x04": "leave",
    b"\x7f": "back", b"\x08": "back", b"\x15": "clear", b"\x17": "word",
}  # fmt: skip


class Terminal(Protocol):
    """An unbuffered binary file of a terminal."""

    def fileno(self) -> int:
        """The terminal's descriptor."""

    def write(self, data: bytes, /) -> int | None:
        """Write bytes; how many were taken."""


def choose(
    terminal: Terminal, environ: Mapping[str, str], find: Callable[[str], list[Memory]], query: str = ""
) -> Memory | None:
    """The memory that the person at the terminal picks, or None."""
    before = termios.tcgetattr(terminal.fileno())
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") in ("dumb", None)
    picker = _Picker(terminal, find, query, plain)
    tty.setcbreak(terminal.fileno(), termios.TCSADRAIN)
    mode = termios.tcgetattr(terminal.fileno())
    mode[3] &= ~termios.ISIG  # ctrl-c is a key here: the screen is tidied before leaving
    termios.tcsetattr(terminal.fileno(), termios.TCSADRAIN, mode)
    try:
        return picker.run()
    finally:
        picker.erase()
        termios.tcsetattr(terminal.fileno(), termios.TCSADRAIN, before)


class _Picker:
    def __init__(self, terminal: Terminal, find: Callable[[str], list[Memory]], query: str, plain: bool) -> None:
        self._terminal = terminal
        self._find = find
        self._query = query
        self._plain = plain
        self._found: list[Memory] = []
        self._at = 0
        self._drawn = 0
        self._asked: str | None = None

    def run(self) -> Memory | None:
        """Keys until one ends it."""
        self._search()
        self._draw()
        for key in _keys(self._terminal.fileno()):
            if key is None:  # a moment of quiet
                if self._asked != self._query:
                    self._search()
                    self._draw()
                continue
            if key == "leave":
                return None
            if key == "enter":
                if self._asked != self._query:
                    self._search()
                return self._found[self._at] if self._found else None
            self._press(key)
            self._draw()
        return None

    def _press(self, key: str) -> None:
        moves = {"up": -1, "down": 1, "page up": -_ROWS, "page down": _ROWS}
        if key in moves:
            self._at = max(0, min(self._at + moves[key], len(self._found) - 1))
        elif key == "back":
            self._query = self._query[:-1]
        elif key == "clear":
            self._query = ""
        elif key == "word":
            self._query = self._query.rstrip().rpartition(" ")[0]
        elif key.isprintable():
            self._query += key

    def _search(self) -> None:
        self._found = self._find(self._query)
        self._asked = self._query
        self._at = 0

    def _draw(self) -> None:
        columns, lines = os.get_terminal_size(self._terminal.fileno())
        rows = max(min(_ROWS, lines - 2), 1)
        top = max(0, min(self._at - rows // 2, len(self._found) - rows))
        prompt = "> " + one_line(self._query)
        shown = [cut(prompt, columns - 1)]
        short = short_ids(memory["id"] for memory in self._found)
        for number, memory in enumerate(self._found[top : top + rows], start=top):
            shown.append(self._row(memory, short[memory["id"]], columns - 1, number == self._at))
        if not self._found:
            shown.append(self._style("2", "  nothing found"))
        text = "\r\x1b[J" + "\r\n".join(shown)
        if len(shown) > 1:
            text += f"\x1b[{len(shown) - 1}A"
        text += f"\r\x1b[{min(width(prompt), columns - 1)}C"
        self._write(text)

    def _row(self, memory: Memory, short: str, columns: int, chosen: bool) -> str:
        room = columns - 2 - len(short) - 2 - 6
        text = pad(cut(one_line(" ".join(memory["content"].split())), room), room)
        line = f"{'▌' if chosen else ' '} {short}  {text}  {age(memory.get('occurred_at') or memory['created_at']):>4}"
        return self._style("7", line) if chosen else line

    def _style(self, code: str, text: str) -> str:
        return text if self._plain else f"\x1b[{code}m{text}\x1b[0m"

    def erase(self) -> None:
        """Leave the terminal as it was."""
        self._write("\r\x1b[J")

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[self._terminal.write(data) or 0 :]


def _keys(descriptor: int) -> Iterator[str | None]:
    """Keys by name, typed characters as they are, None in the moment of quiet after keys."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    waiting = False
    rest = b""
    while True:
        if waiting and not rest and not select.select([descriptor], [], [], _QUIET)[0]:
            waiting = False
            yield None
            continue
        if not rest or (rest in _STARTS and select.select([descriptor], [], [], _ESCAPE_WAIT)[0]):
            data = os.read(descriptor, 256)
            if not data:
                return
            rest += data
        key, rest = _first(rest)
        waiting = True
        if key in _KEYS:
            yield _KEYS[key]
        elif not key.startswith(b"\x1b"):
            yield from decoder.decode(key)


_STARTS = (b"\x1b", b"\x1b[", b"\x1bO")


def _first(data: bytes) -> tuple[bytes, bytes]:
    """The first key of what was typed, and what is left: an escape sequence, or one byte."""
    size = 1
    if data[:2] in _STARTS and len(data) > 2:
        size = 3
        while data[1:2] == b"[" and size < len(data) and not 0x40 <= data[size - 1] <= 0x7E:
            size += 1
    return data[:size], data[size:]

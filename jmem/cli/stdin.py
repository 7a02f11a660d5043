"""What comes in through standard input: one text, or a stream of lines."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from jmem.core.errors import Invalid

_CHUNK = 65536


def is_terminal() -> bool:
    """Whether a person types on stdin; a closed stdin counts as one, so that nothing waits for it."""
    try:
        return sys.stdin is None or sys.stdin.isatty()
    except ValueError:
        return True


def read_text() -> str:
    """All of stdin as UTF-8, without the line break at its end; raises Invalid."""
    data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    return decode(data, "stdin").removesuffix("\n").removesuffix("\r")


def decode(data: bytes, what: str) -> str:
    """UTF-8 text without a byte order mark; raises Invalid."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _not_utf8(f"{what} is not valid UTF-8 (byte {error.start})") from None


def read_lines() -> Iterator[list[str]]:
    """The lines of stdin, in groups as they arrive, so that a slow source is not kept waiting."""
    rest, at = b"", 0
    while data := os.read(0, _CHUNK):
        *whole, rest = (rest + data).split(b"\n")
        if whole:
            yield [decode_line(line, at + number) for number, line in enumerate(whole, start=1)]
            at += len(whole)
    if rest:
        yield [decode_line(rest, at + 1)]


def decode_line(line: bytes, number: int) -> str:
    """One line without its line break; raises Invalid with its number."""
    return decode(line.removesuffix(b"\r"), f"line {number}")


def _not_utf8(message: str) -> Invalid:
    from jmem.core.errors import Invalid

    return Invalid(message, code="not_utf8", fix="convert it to UTF-8, for example with iconv")

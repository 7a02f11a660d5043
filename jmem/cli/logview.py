"""The daemon's log for people."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from jmem.cli.output import Output
from jmem.cli.text import local_time, one_line
from jmem.wire import loads

_EVERY = 0.25
_BLOCK = 65536
_LEVELS = {"warning": "warn", "error": "bad", "critical": "bad"}
_LEADING = ("timestamp", "time", "ts", "level", "event")


def last_lines(path: str, count: int) -> list[str]:
    """The last `count` lines of a file."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        data = b""
        while end and data.count(b"\n") <= count:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            data = file.read(end - start) + data
            end = start
    return data.decode("utf-8", "replace").splitlines()[-count:]


def follow(path: str) -> Iterator[str]:
    """Lines as they are written, across rotations; ends with ctrl-c."""
    file = open(path, "rb")  # noqa: SIM115 (replaced when the log is rotated)
    file.seek(0, os.SEEK_END)
    rest = b""
    try:
        while True:
            data = file.read()
            *whole, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
            if not data:
                if _rotated(path, file.fileno()):
                    file.close()
                    file = open(path, "rb")  # noqa: SIM115
                time.sleep(_EVERY)
    finally:
        file.close()


def _rotated(path: str, descriptor: int) -> bool:
    try:
        return os.stat(path).st_ino != os.fstat(descriptor).st_ino
    except OSError:
        return False


def show(out: Output, line: str) -> None:
    """One log line: as it is with --json, else time, level, event and the rest."""
    if out.json:
        out.line(one_line(line))
        return
    try:
        entry: Any = loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        out.line(one_line(line))
        return
    level = str(entry.get("level", ""))
    moment = str(entry.get("timestamp") or entry.get("time") or entry.get("ts") or "")
    rest = " ".join(f"{name}={value}" for name, value in entry.items() if name not in _LEADING)
    head = f"{_time(moment)}  {level:<7}  "
    text = one_line(f"{entry.get('event', '')}  {rest}".rstrip())
    out.line(out.paint("dim", head) + (out.paint(_LEVELS[level], text) if level in _LEVELS else text))


def _time(moment: str) -> str:
    try:
        return local_time(moment) + moment[16:19]
    except ValueError:
        return moment

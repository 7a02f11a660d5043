"""The daemon's log: JSON lines through structlog, rotated by size, with keys and tokens taken out.

A memory's content is never logged above debug. The message of an exception may quote it, so that above debug a
traceback carries the places and the exception's type, and the message only of errors that quote nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from jmem.core.redaction import redacted

KEEP = 5
MAX_BYTES = 5 * 1024 * 1024


class RotatingFile:
    """Appends lines to `path`; past `max_bytes` it becomes `path.1`, and so on up to `keep` files in all.

    Logging never fails a request: a line that can't be written (a full disk) is dropped.
    """

    def __init__(self, path: Path, keep: int = KEEP, max_bytes: int = MAX_BYTES) -> None:
        self.path, self.keep, self.max_bytes = path, keep, max_bytes
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0

    def write(self, line: bytes) -> None:
        """Append one line, its newline included."""
        with self._lock, contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._size = os.fstat(self._fd).st_size
            if self._size + len(line) > self.max_bytes and self._size:
                self._rotate()
            self._size += os.write(self._fd, line)

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        for n in range(self.keep - 1, 0, -1):
            older = self.path if n == 1 else self.path.with_name(f"{self.path.name}.{n - 1}")
            with contextlib.suppress(FileNotFoundError):
                older.replace(self.path.with_name(f"{self.path.name}.{n}"))
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = 0


class _Lines:
    """structlog's sink: one method a level, all of them one line."""

    def __init__(self, file: RotatingFile) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = file.write


class Log:
    """What the daemon logs with; `bind` gives a structlog logger for one part of it."""

    def __init__(self, path: Path, level: str) -> None:
        structlog = _structlog()
        self.file = RotatingFile(path)
        self.level = getattr(logging, level.upper())
        self._debug = self.level <= logging.DEBUG
        self._logger = structlog.wrap_logger(
            _Lines(self.file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                self._exception,
                _render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(self.level),
            context_class=dict,
            cache_logger_on_first_use=True,
        )
        logging.captureWarnings(True)
        root = logging.getLogger()
        root.handlers[:] = [_Bridge(self)]
        root.setLevel(self.level if self._debug else logging.WARNING)

    def bind(self, part: str) -> Any:
        """A structlog logger whose lines carry `part`."""
        return self._logger.bind(part=part)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _exception(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        error = event.pop("exc_info", None)
        if error is True:
            error = sys.exc_info()[1]
        if isinstance(error, BaseException):
            event["error"] = type(error).__name__
            if self._debug or isinstance(error, OSError | sqlite3.Error | ImportError):
                event["reason"] = str(error)
            event["traceback"] = [
                f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)
            ]
        return event


class _Bridge(logging.Handler):
    """Lines of libraries that log by the standard library."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log.bind("library")

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._log.log(record.levelno, record.getMessage(), logger=record.name, **({"exc_info": error} if error else {}))


def _render(_logger: Any, _method: str, event: Mapping[str, Any]) -> bytes:
    line = to_json(event, fallback=repr, inf_nan_mode="strings").decode("utf-8", "replace")
    return redacted(line).encode() + b"\n"


def _structlog() -> Any:
    """structlog without rich, which it would import for tracebacks in colour: a quarter of its import time."""
    blocked = "rich" not in sys.modules
    if blocked:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog
    finally:
        if blocked:
            del sys.modules["rich"]
    return structlog

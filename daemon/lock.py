"""Exclusive locks that die with their process, with a note about the holder inside."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from jmem.core.errors import Conflict, StorageFailed

STOPPING_WAIT_S = 15.0
_NOTE_WAIT_S = 0.5


class FileLock:
    """An flock on a file that is never removed, so that nobody can hold a lock on a file that is gone."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path, what: str, note: dict[str, Any]) -> FileLock:
        """Take the lock and leave `note` in it; raises Conflict `locked` that names the holder, or StorageFailed.

        A holder that says it is stopping is waited for. Blocks; at most STOPPING_WAIT_S.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageFailed(f"{path} can't be opened: {error.strerror}", fix="jmem doctor") from None
        began = time.monotonic()
        while not _try(fd):
            holder = read_note(path)
            # no note: a holder that is about to write one, or a command that only looks whether the lock is held
            patience = STOPPING_WAIT_S if holder.get("stopping") else 0.0 if holder else _NOTE_WAIT_S
            if time.monotonic() - began >= patience:
                os.close(fd)
                raise _held(path, what, holder)
            time.sleep(0.01)
        lock = cls(path, fd)
        lock.write(note)
        return lock

    def write(self, note: dict[str, Any]) -> None:
        """Replace the note. It is short, so that a reader never sees half of it."""
        data = json.dumps(note).encode() + b"\n"
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def intact(self) -> bool:
        """Whether the path still leads to the locked file: not when its folder was removed or replaced meanwhile."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

    def release(self) -> None:
        """Let go; the file stays, empty."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        os.close(self._fd)


def read_note(path: Path) -> dict[str, Any]:
    """What the holder wrote; {} when there is nothing."""
    try:
        note = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(path: Path, what: str, holder: dict[str, Any]) -> Conflict:
    pid = holder.get("pid")
    who = f"pid {pid}" if pid else "a process that left no note"
    version = f", jmem {holder['version']}" if holder.get("version") else ""
    return Conflict(f"{what} ({who}{version} holds {path})", code="locked", pid=pid, fix="jmem daemon stop")

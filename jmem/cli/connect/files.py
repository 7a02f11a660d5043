"""Reading and replacing another program's file: whole or not at all, with its mode, its owner and its link kept."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from jmem.core.errors import Conflict, StorageFailed

NEW_FILE_MODE = 0o600  # an entry may hold a personal URL, which is a secret


@dataclass(frozen=True)
class Snapshot:
    """A file as it was read. `content` is None where there was none."""

    path: Path
    real: Path
    """where the file lies once links are followed"""
    content: bytes | None

    @property
    def digest(self) -> str:
        """SHA-256 of the content in hex; empty where there is no file."""
        return "" if self.content is None else digest(self.content)


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def read(path: Path) -> Snapshot:
    """The file at `path`, or a snapshot without content; raises StorageFailed when it can't be read."""
    real = Path(os.path.realpath(path))
    try:
        return Snapshot(path, real, real.read_bytes())
    except FileNotFoundError:
        return Snapshot(path, real, None)
    except OSError as error:
        raise StorageFailed(
            f"{path} can't be read: {error.strerror}", code="config_unreadable", fix=f"ls -l {path}"
        ) from None


def back_up(snapshot: Snapshot) -> Path | None:
    """A copy beside the file, named by the time; None where there was no file."""
    if snapshot.content is None:
        return None
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for turn in range(1000):
        name = f"{snapshot.real.name}.jmem-backup-{stamp}" + (f"-{turn}" if turn else "")
        copy = snapshot.real.with_name(name)
        try:
            old = snapshot.real.stat()
            handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, old.st_mode & 0o777)
            _give(copy, old)
        except FileExistsError:
            continue
        except OSError as error:
            raise _failed(copy, error) from None
        with os.fdopen(handle, "wb") as out:
            out.write(snapshot.content)
            out.flush()
            os.fsync(out.fileno())
        return copy
    raise StorageFailed(f"{snapshot.real.parent} is full of backups", code="config_unwritable")


def replace(snapshot: Snapshot, content: bytes | None) -> list[Path]:
    """Put `content` (None: no file) where the snapshot was taken; the folders made for it, outermost first.

    Raises Conflict when the file is no longer as it was read, StorageFailed when it can't be written.
    """
    if read(snapshot.path).content != snapshot.content:
        raise Conflict(
            f"{snapshot.path} changed while jmem was about to write it; nothing was written",
            code="config_changed",
            fix="close the program that writes it and run the command again",
        )
    try:
        if content is None:
            snapshot.real.unlink(missing_ok=True)
            return []
        made = _make_folders(snapshot.real.parent)
        _write(snapshot.real, content)
    except OSError as error:
        raise _failed(snapshot.path, error) from None
    return made


def remove_folders(folders: list[Path]) -> None:
    """Remove folders that jmem made, where they are empty again."""
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except OSError:
            return


def _make_folders(folder: Path) -> list[Path]:
    missing = [f for f in (folder, *folder.parents) if not f.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _write(path: Path, content: bytes) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        old = None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(old.st_mode & 0o7777 if old else NEW_FILE_MODE)
        if old:
            _give(Path(name), old)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _give(path: Path, like: os.stat_result) -> None:
    """Give a new file to the owner of the old one: root may edit what is another user's."""
    if os.name == "posix" and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(path, like.st_uid, like.st_gid)


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"{path} can't be written: {error.strerror}; nothing was changed", code="config_unwritable", fix=f"ls -l {path}"
    )

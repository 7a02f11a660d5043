"""Where a development backend is and keeps what it has: a folder of the user's, or one that is thrown away at the end.

A folder serves one process at a time. What a killed one left running is found by the next: in the same folder, or among
the throwaway ones that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosted.dev import cluster
from jmem.core.errors import Conflict, Invalid

HOST = "127.0.0.1"
AGAIN = "python -m hosted dev --port 0"
"""What to run where a port is taken."""
PREFIX = "jmem-dev-"
ELSEWHERE = Path("/var/lib/jmem-dev")
"""Where root keeps the clusters of folders that the unprivileged user of Postgres may not enter."""


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that this process holds. `kept`: it outlives the process."""

    folder: Path
    postgres: Path
    kept: bool

    @property
    def supabase(self) -> Path:
        """The file of the Supabase double."""
        return self.folder / "supabase.db"

    def remembered(self) -> Mapping[str, Any]:
        """What `remember` noted last; {} at first."""
        try:
            found = json.loads((self.folder / "dev.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def remember(self, noted: Mapping[str, Any]) -> None:
        """Note something for the next run."""
        (self.folder / "dev.json").write_text(json.dumps(noted))


@contextlib.contextmanager
def home(data: Path | None) -> Iterator[Home]:
    """Hold `data`, or a folder that goes with the process. Raises Conflict `in_use`, Invalid."""
    _sweep(Path(tempfile.gettempdir()))
    folder = _made(data)
    with _held(folder):
        postgres = _postgres(folder)
        cluster.recover(postgres)
        try:
            yield Home(folder, postgres, data is not None)
        finally:
            if data is None:
                shutil.rmtree(postgres, ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)


def _made(data: Path | None) -> Path:
    if data is None:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        folder.chmod(0o711)  # the user of Postgres passes through
        return folder
    new = not data.exists()
    try:
        data.mkdir(parents=True, exist_ok=True)
        if new:
            data.chmod(0o711)
    except OSError as error:
        raise Invalid(f"{data}: {error.strerror}", field="data", fix="name another folder by --data") from error
    return data.resolve()


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    file = _take(folder)
    if file is None:
        raise Conflict(
            f"another process uses {folder}", code="in_use", fix="end it, or name another folder by --data"
        )  # fmt: skip
    try:
        yield
    finally:
        os.close(file)


def _take(folder: Path) -> int | None:
    """Its lock; None while another process has it."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _postgres(folder: Path) -> Path:
    """The cluster's folder: in this one, unless Postgres could not get there."""
    if cluster.reachable(folder):
        return folder / "postgres"
    note = folder / "postgres.path"
    if not note.exists():
        note.write_text(str(ELSEWHERE / uuid.uuid4().hex))
    place = Path(note.read_text())
    ELSEWHERE.mkdir(parents=True, exist_ok=True)
    ELSEWHERE.chmod(0o711)
    place.mkdir(exist_ok=True)
    (place / "for").write_text(str(note))
    return place


def _sweep(temporary: Path) -> None:
    """End and remove what killed processes left of folders that were to go with them."""
    for folder in temporary.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # another process sweeps too
            if not (folder / "lock").exists() or folder.stat().st_uid != os.geteuid():
                continue  # being made this moment, or somebody else's
            file = _take(folder)
            if file is not None:
                _remove(_postgres(folder))
                shutil.rmtree(folder, ignore_errors=True)
                os.close(file)
    for place in ELSEWHERE.glob("*/for") if os.geteuid() == 0 else ():
        with contextlib.suppress(FileNotFoundError):
            told = place.read_text()  # empty: being made this moment
            if told and not (Path(told).is_file() and Path(told).read_text() == str(place.parent)):
                _remove(place.parent)


def _remove(postgres: Path) -> None:
    cluster.recover(postgres)
    shutil.rmtree(postgres, ignore_errors=True)

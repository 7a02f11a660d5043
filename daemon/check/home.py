"""The home: its folders and files, who may read them, the disk, the configuration, the log."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.keys import SECRET_BYTES
from jmem.core import places
from jmem.core.finding import Check, Finding, Status
from jmem.core.settings import Settings

MIN_SQLITE = (3, 35, 0)
LOW_DISK = 1 << 30
NO_DISK = 100 << 20
LOG_TAIL = 1 << 20
_MAX_LISTED = 5


def home_checks(home: Path, settings: Settings | None) -> Iterator[Check]:
    """The checks of a home; `settings` None when its configuration can't be read."""
    yield lambda: _sqlite()
    if not home.is_dir():
        yield lambda: [Finding("home", "ok", f"{home} does not exist yet: the first memory makes it")]
        return
    yield lambda: _permissions(home)
    if settings is not None:
        yield lambda: _config(settings)
    yield lambda: _secret(home)
    yield lambda: _disk(home)
    yield lambda: _log(home)


def _sqlite() -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        wanted = ".".join(map(str, MIN_SQLITE))
        yield Finding(
            "sqlite",
            "fail",
            f"{version} is too old; {wanted} is needed",
            "install a newer Python and run ./install.sh again",
        )
        return
    with sqlite3.connect(":memory:") as conn:
        options = {row[0] for row in conn.execute("PRAGMA compile_options")}
    conn.close()
    if "ENABLE_FTS5" not in options:
        yield Finding(
            "sqlite",
            "fail",
            f"{version} of {sys.executable} lacks FTS5",
            "install Python from python.org, with uv or with your system, and run ./install.sh again",
        )
    else:
        yield Finding("sqlite", "ok", f"{version} with FTS5")


def _permissions(home: Path) -> Iterator[Finding]:
    """Nobody but the owner may look in, and the owner may write."""
    wrong = [path for path in _private(home) if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    foreign = [path for path in _private(home) if path.lstat().st_uid != os.getuid()]
    locked = [path for path in _private(home) if not path.lstat().st_mode & 0o200 and not path.is_symlink()]
    if foreign:
        yield Finding(
            "permissions", "fail", f"another user owns {_some(foreign)}", f"sudo chown -R {os.getuid()} {home}"
        )
    if wrong:

        def mend() -> str:
            for path in wrong:
                path.chmod(0o700 if path.is_dir() else 0o600)
            return f"closed {_some(wrong)} to others"

        yield Finding("permissions", "fail", f"others may read {_some(wrong)}", "jmem doctor --fix", mend)
    elif not os.access(home, os.W_OK):
        yield Finding("permissions", "fail", f"{home} can't be written", f"chmod u+rwx {home}")
    elif locked:

        def unlock() -> str:
            for path in locked:
                path.chmod(path.stat().st_mode | 0o200)
            return f"let {_some(locked)} be written"

        yield Finding("permissions", "fail", f"{_some(locked)} can't be written", "jmem doctor --fix", unlock)
    elif not foreign:
        yield Finding("permissions", "ok", f"{home} is yours alone")


def _private(home: Path) -> Iterator[Path]:
    """The folders and files that nobody else may read, some levels deep: not the inside of an index."""
    yield home
    for entry in sorted(home.iterdir()):
        yield entry
        if entry.is_dir() and not entry.is_symlink() and entry.name in ("users", "run", "logs"):
            for inner in sorted(entry.iterdir()):
                yield inner
                if inner.is_dir() and not inner.is_symlink():
                    yield from sorted(inner.iterdir())


def _some(paths: list[Path]) -> str:
    named = ", ".join(str(path) for path in paths[:_MAX_LISTED])
    return named + (f" and {len(paths) - _MAX_LISTED} more" if len(paths) > _MAX_LISTED else "")


def _config(settings: Settings) -> Iterator[Finding]:
    own = [f"{key} ({origin})" for key, origin in settings.origins.items() if origin != "default"]
    yield Finding("config", "ok", f"set: {', '.join(own)}" if own else "all settings have their default")


def _secret(home: Path) -> Iterator[Finding]:
    path = home / "secret"
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        if (home / "users.json").exists():
            fix = "run jmem status, which makes a new one, then jmem connect every client again"
            yield Finding("secret", "fail", f"{path} is gone: the URLs of all clients stop working", fix)
        return
    except (OSError, ValueError) as error:
        yield Finding(
            "secret",
            "fail",
            f"{path} can't be used: {error}",
            f"remove {path}; every client then needs connecting again",
        )
        return
    if len(secret) < SECRET_BYTES:
        yield Finding(
            "secret", "fail", f"{path} is cut short", f"remove {path}; every client then needs connecting again"
        )


def _disk(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    room = f"{free / (1 << 30):.1f} GiB" if free >= 1 << 30 else f"{free >> 20} MiB"
    said = f"{room} free at {home}"
    status: Status = "fail" if free < NO_DISK else "warn" if free < LOW_DISK else "ok"
    yield Finding("disk", status, said, "free some space" if status != "ok" else None)


def _log(home: Path) -> Iterator[Finding]:
    """Errors of the last day."""
    path = Path(places.log_path(str(home)))
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL))
            lines = file.read().splitlines()
    except OSError:
        return
    since = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    errors = [
        entry
        for entry in map(_entry, lines)
        if entry.get("level") in ("error", "critical") and entry.get("timestamp", "") > since
    ]
    if errors:
        last = errors[-1]
        yield Finding(
            "log",
            "warn",
            f"{len(errors)} errors in the last day; the last: {last.get('event')} at {last.get('timestamp')}",
            "jmem daemon logs",
        )
    else:
        yield Finding("log", "ok", "no errors in the last day")


def _entry(line: bytes) -> dict[str, str]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

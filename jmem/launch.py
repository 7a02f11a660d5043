"""Starts the daemon where none runs. Of twenty commands that race, one starts it and the others wait for it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

from jmem import wire
from jmem.client import daemon_pid
from jmem.core import places
from jmem.core.errors import Unreachable

try:
    import fcntl
except ImportError:  # Windows: the daemon's own lock still lets only one live
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE = 20.0
"""Seconds that a start, or a stop, may take."""
_children: list[subprocess.Popen[bytes]] = []


def start(home: str, listening: Callable[[], bool]) -> bool:
    """Start the daemon of `home` unless `listening` says that it runs; True when this call did. Raises Unreachable."""
    _prepare(home)
    with _only_one(places.start_lock(home)):
        if listening():
            return False
        _spawn(home)
        if not listening():
            raise _failed(home, "the daemon started but does not listen")
        return True


def wait_stopped(home: str) -> None:
    """Wait until the daemon has let go of its lock; raises Unreachable after DEADLINE."""
    deadline = time.monotonic() + DEADLINE
    while daemon_pid(home) is not None:
        if time.monotonic() > deadline:
            raise Unreachable("the daemon does not stop", fix="jmem daemon status")
        time.sleep(0.02)
        for child in _children:
            child.poll()  # a child that has ended is a process until it is asked about


def last_words(home: str) -> str:
    """The last line that the daemon wrote about its failure, or nothing."""
    for path in (places.stderr_path(home), places.log_path(home)):
        try:
            with open(path, "rb") as file:
                file.seek(max(os.path.getsize(path) - 8192, 0))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            continue
        if lines:
            return _event(lines[-1])
    return ""


def _event(line: str) -> str:
    """What a JSON log line says; any other line as it is."""
    try:
        entry = wire.loads(line)
    except ValueError:
        return line
    return str(entry.get("error") or entry.get("event") or line) if isinstance(entry, dict) else line


def _prepare(home: str) -> None:
    try:
        for folder in (home, places.run_dir(home), os.path.dirname(places.log_path(home))):
            os.makedirs(folder, mode=places.FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise _no_place(error) from None


def _no_place(error: OSError) -> Unreachable:
    return Unreachable(
        f"{error.filename}: {error.strerror}, so no daemon can run", fix="set JMEM_HOME to a folder you can write to"
    )


class _only_one:
    """Hold a lock file while the block runs; raises Unreachable where there can be none."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _no_place(error) from None
        if fcntl is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _spawn(home: str) -> None:
    """Run the daemon in a session of its own and wait until it says that it listens."""
    readable, writable = os.pipe()
    try:
        with open(places.stderr_path(home), "wb", opener=_private) as errors:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon", "run", "--ready-fd", str(writable)],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, cwd=home, start_new_session=True,
                pass_fds=(writable,), env={**os.environ, "JMEM_HOME": home},
            )  # fmt: skip
        _children.append(child)  # a dropped Popen of a living process warns
        os.close(writable)
        writable = -1
        _await_ready(home, child, readable)
    finally:
        os.close(readable)
        if writable >= 0:
            os.close(writable)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _await_ready(home: str, child: subprocess.Popen[bytes], readable: int) -> None:
    """Read the one line of JSON that the daemon writes once it listens, or once it has given up."""
    deadline = time.monotonic() + DEADLINE
    said = b""
    for data in _read_until(readable, deadline):
        said += data
        if said.endswith(b"\n"):
            break
    try:
        message = wire.loads(said)
    except ValueError:
        message = {}
    if message.get("ok"):
        return
    if message:
        raise Unreachable(f"the daemon can't start: {message.get('title')}", fix=message.get("fix") or "jmem doctor")
    if time.monotonic() >= deadline:
        raise _failed(home, f"the daemon is not ready after {DEADLINE:.0f} seconds")
    try:
        child.wait(timeout=2)
    except subprocess.TimeoutExpired:
        pass
    raise _failed(home, "the daemon can't start")


def _read_until(descriptor: int, deadline: float) -> Iterator[bytes]:
    """What arrives on a pipe until its end or the deadline."""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            return
        data = os.read(descriptor, 4096)
        if not data:
            return
        yield data


def _failed(home: str, what: str) -> Unreachable:
    words = last_words(home)
    return Unreachable(
        f"{what}: {words}" if words and words not in what else what,
        fix="jmem doctor", log=places.log_path(home),
    )  # fmt: skip

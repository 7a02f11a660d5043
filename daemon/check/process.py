"""The daemon's process: whether it lives, whether there is one only, who has its socket and its port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jmem
from daemon import units
from daemon.lock import FileLock, read_note
from daemon.sockets import port_holder
from jmem.core import places
from jmem.core.errors import Conflict, JmemError, Unreachable
from jmem.core.finding import Check, Finding
from jmem.core.settings import Settings

TIMEOUT = 5.0
LONG = 600.0
STOP_DEADLINE = 30.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    home: Path, method: str, path: str, body: Any = None, *, user: str = "default", timeout: float = TIMEOUT
) -> dict[str, Any]:
    """One request to the running daemon; raises Unreachable when none answers, JmemError for a problem."""
    connection = _UnixConnection(places.socket_path(str(home)), timeout)
    try:
        headers = {"Content-Type": "application/json", "X-Jmem-User": user}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(f"no daemon answers: {error}", fix="jmem daemon start") from None
    finally:
        connection.close()
    if response.status >= 400:
        raise JmemError(str(answer.get("title", f"the daemon answered {response.status}")), code=answer.get("code"))
    return dict(answer)


def answers(home: Path) -> bool:
    """Whether a daemon answers on the socket."""
    try:
        ask(home, "GET", "/health")
    except JmemError:
        return False
    return True


@contextlib.contextmanager
def at_rest(home: Path) -> Iterator[None]:
    """Hold the daemon's lock, so that none starts meanwhile; raises Conflict when one runs."""
    path = Path(places.daemon_lock(str(home)))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # "stopping": a daemon that is started now waits instead of giving up
    note = {"pid": os.getpid(), "version": jmem.__version__, "stopping": True}
    lock = FileLock.acquire(path, "a jmem daemon is running", note)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Have the home to oneself: stop a daemon that runs. Raises Conflict when it does not stop."""
    deadline = time.monotonic() + STOP_DEADLINE
    with contextlib.ExitStack() as stack:
        while True:
            with contextlib.suppress(JmemError):
                ask(home, "POST", "/api/v1/daemon/stop")
            try:
                stack.enter_context(at_rest(home))
                break
            except Conflict:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield


def holder(home: Path) -> dict[str, Any] | None:
    """What the holder of the daemon's lock wrote into it, {} when nothing; None when nobody holds it."""
    import fcntl

    path = places.daemon_lock(str(home))
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_note(Path(path))
    finally:
        os.close(descriptor)
    return None


def process_checks(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """The checks of the daemon's process, and of what starts it."""
    yield lambda: _daemon(settings.home)
    yield lambda: _port(settings)
    yield lambda: _unit(settings.home, environ)


def _daemon(home: Path) -> Iterator[Finding]:
    note = holder(home)
    path = places.socket_path(str(home))
    if note is None:
        yield from _not_running(path)
        return
    pid = note.get("pid")
    try:
        health = ask(home, "GET", "/health")
    except JmemError as error:
        kill = f"kill {pid}   and run any jmem command" if pid else "find and end the process that holds it"
        yield Finding(
            "daemon", "fail", f"process {pid} holds the daemon's lock but does not answer ({error.message})", kill
        )
        return
    if health.get("pid") != pid:
        fix = f"kill {health.get('pid')} {pid}   and run any jmem command"
        yield Finding(
            "daemon", "fail", f"two daemons: process {health.get('pid')} answers, process {pid} holds the lock", fix
        )
    elif health.get("version") != jmem.__version__:
        fix = "jmem daemon restart"
        yield Finding(
            "daemon", "warn", f"version {health.get('version')} runs (pid {pid}), {jmem.__version__} is installed", fix
        )
    else:
        yield Finding("daemon", "ok", f"version {jmem.__version__} runs (pid {pid})")


def _not_running(path: str) -> Iterator[Finding]:
    if not os.path.lexists(path):
        yield Finding("daemon", "ok", "not running; the next command starts it")
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT)
            probe.connect(path)
    except OSError:

        def mend() -> str:
            Path(path).unlink()
            return f"removed {path}"

        yield Finding("daemon", "warn", f"not running, and left a stale socket: {path}", "jmem doctor --fix", mend)
    else:
        yield Finding("daemon", "ok", "not running; systemd starts it when its socket is used")


def _port(settings: Settings) -> Iterator[Finding]:
    """Who listens on the port that the clients' URLs name."""
    try:
        port = int(Path(places.port_path(str(settings.home))).read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return
    who, note = port_holder(port), holder(settings.home) or {}
    if who is None:
        if note:
            yield Finding(
                "port",
                "fail",
                f"nobody listens on 127.0.0.1:{port}, which the URLs of clients name",
                "jmem daemon restart",
            )
        else:
            yield Finding("port", "ok", f"{port} is free for the daemon")
    elif who.pid == note.get("pid") or who.name == "systemd":
        yield Finding("port", "ok", f"{port} is the daemon's")
    else:
        fix = f"end {who}, then: jmem daemon restart; or take another: jmem config set port N, and connect URL clients again"
        yield Finding("port", "fail", f"{port} is held by {who}: clients that use a URL can't reach jmem", fix)


def _unit(home: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the system starts this very jmem, where it was told to start one."""
    base = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        file, wanted = base / "Library" / "LaunchAgents" / f"{units.LABEL}.plist", units.plist(home)
    else:
        folder = Path(environ.get("XDG_CONFIG_HOME") or base / ".config") / "systemd" / "user"
        file, wanted = folder / "jmem.service", units.service_unit(home)
    if not file.exists():
        return

    def mend() -> str:
        if units.main("install", (), environ) != 0:
            raise JmemError("jmem daemon install failed")
        return f"wrote {file} anew"

    if file.read_text(encoding="utf-8", errors="replace") != wanted:
        yield Finding(
            "service", "warn", f"{file} starts another jmem, or one of another home", "jmem daemon install", mend
        )
    elif sys.platform != "darwin" and (state := _enabled()) != "enabled":
        yield Finding("service", "warn", f"{units.SOCKETS[0]} is {state}", "jmem daemon install")
    else:
        yield Finding("service", "ok", f"the system starts the daemon when it is needed ({file})")


def _enabled() -> str:
    """What systemd says of the socket unit."""
    try:
        done = subprocess.run(
            ["systemctl", "--user", "is-enabled", units.SOCKETS[0]],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not known to systemd: {error}"
    return done.stdout.strip() or f"not known to systemd: {done.stderr.strip()}"

"""The daemon's life: lock, sockets, memories, serving, and an orderly end.

The order matters. The lock comes before a stale socket is touched; the sockets listen before anything slow is
imported, so that a command that started the daemon is already queued; nothing acknowledged is cut off at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

import jmem
from daemon.lock import FileLock
from daemon.sockets import Inherited, Tcp, bind_tcp, bind_unix, inherited
from jmem.core import places
from jmem.core.errors import JmemError, StorageFailed
from jmem.core.model import now_iso
from jmem.core.settings import Settings, load

if TYPE_CHECKING:
    from jmem.core.embed import Embedder

SWITCH_S = 0.001
"""How long a busy thread, such as an import's, keeps the interpreter from a question: one takes it ten times or more.
Measured beside such a thread, a quarter to a third less of a search's time than with Python's 5 ms."""


class Ready:
    """Tells the process that started the daemon how that went: one line of JSON on a pipe."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def say(self, message: dict[str, Any]) -> None:
        """Send the line and close the pipe; later calls do nothing."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, json.dumps(message).encode() + b"\n")
            os.close(self._fd)
            self._fd = None


def run(ready_fd: int | None, environ: MutableMapping[str, str]) -> int:
    """Serve until told to stop; the exit code."""
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_S)
    ready = Ready(ready_fd)
    gc.disable()  # until everything is imported: a third of the start would go to looking for garbage there is none of
    try:
        settings = load(environ)
        handed = inherited(environ)
        prepare_home(settings.home)
        note = {"pid": os.getpid(), "version": jmem.__version__, "started_at": now_iso()}
        lock = FileLock.acquire(Path(places.daemon_lock(str(settings.home))), "a jmem daemon is already running", note)
    except JmemError as error:
        return _failed(ready, error)
    try:
        return _hold(settings, handed, ready, lock, note)
    except JmemError as error:
        return _failed(ready, error)
    finally:
        lock.release()


def prepare_home(home: Path) -> None:
    """Make the home's folders, for this user alone; raises StorageFailed."""
    try:
        for folder in (home, home / "run", home / "logs", home / "users"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_mode & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        raise StorageFailed(f"{error.filename} can't be used: {error.strerror}", code="bad_home",
                            fix="check the owner and the permissions of JMEM_HOME") from None  # fmt: skip


def _failed(ready: Ready, error: JmemError) -> int:
    ready.say(error.problem())
    sys.stderr.write(f"jmem daemon: {error.message}\n" + (f"  {error.fix}\n" if error.fix else ""))
    return error.exit_code


def _hold(settings: Settings, handed: Inherited, ready: Ready, lock: FileLock, note: dict[str, Any]) -> int:
    """Run with the daemon's lock held."""
    home = str(settings.home)
    from jmem.core.embed import make_embedder

    embedder = make_embedder(settings)
    loading = threading.Thread(target=_load, args=(embedder,), name="jmem-model", daemon=True)
    loading.start()  # first of all: onnxruntime lets go of the GIL while it makes its session
    unix = None
    try:
        unix = handed.unix or bind_unix(home)
        tcp = Tcp(handed.tcp.getsockname()[1], handed.tcp) if handed.tcp else bind_tcp(settings)
        note |= {"port": tcp.port if tcp.sock else None, "socket": unix.getsockname()}
        lock.write(note)
        activated = handed.unix is not None
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, embedder, unix, tcp, ready, lock, note, activated))
    finally:
        if unix is not None:
            unix.close()
            if handed.unix is None and lock.intact():  # else the path may be another daemon's by now
                with contextlib.suppress(FileNotFoundError):
                    Path(places.socket_path(home)).unlink()
        loading.join()  # a process that ends while onnxruntime loads is aborted


async def _serve(
    settings: Settings, embedder: Embedder, unix: socket.socket, tcp: Tcp, ready: Ready, lock: FileLock,
    note: dict[str, Any], activated: bool,
) -> int:  # fmt: skip
    from daemon.app import Running
    from daemon.server import Server

    loop = asyncio.get_running_loop()
    info = Path(places.daemon_info(str(settings.home)))

    def stop_soon() -> None:
        loop.call_soon_threadsafe(stop)

    def stop() -> None:
        if not server.should_exit:
            lock.write({**note, "stopping": True})
            server.stop()

    def signalled() -> None:
        if server.should_exit:
            os._exit(1)  # asked twice: whoever asks does not want to wait, and everything acknowledged is on disk
        stop()

    def started() -> None:
        gc.freeze()
        gc.enable()
        info.write_text(json.dumps(note) + "\n")
        ready.say({"ok": True, **note})

    running = Running(settings, embedder, tcp, lock, note, stop_soon, activated)
    server = Server(running.app, running.drain)
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, signalled)
    running.start()
    try:
        await server.run_on([sock for sock in (unix, tcp.sock) if sock is not None], started)
    finally:
        await asyncio.to_thread(running.close)
        if lock.intact():
            info.unlink(missing_ok=True)
    return 0


def _load(embedder: Embedder) -> None:
    # a failure comes up again at the first search, which reports it and goes on with words alone
    with contextlib.suppress(JmemError):
        embedder.load()

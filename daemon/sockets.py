"""The daemon's listening sockets: the unix socket, 127.0.0.1, or what systemd hands over."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from jmem.core import places
from jmem.core.errors import StorageFailed
from jmem.core.settings import Settings

BACKLOG = 256
FIRST_FD = 3
_TRY_PORTS = 40


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Tcp:
    """What became of the TCP port: a socket, or the reason why there is none."""

    port: int
    sock: socket.socket | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Inherited:
    """Sockets that systemd opened and keeps open."""

    unix: socket.socket | None = None
    tcp: socket.socket | None = None


def inherited(environ: MutableMapping[str, str]) -> Inherited:
    """Take the sockets of systemd's socket activation (LISTEN_FDS, LISTEN_PID), and the variables out of `environ`."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return Inherited()
    unix = tcp = None
    for fd in range(FIRST_FD, FIRST_FD + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        if sock.family == socket.AF_UNIX and unix is None:
            unix = sock
        elif sock.family == socket.AF_INET and tcp is None:
            tcp = sock
        else:
            sock.close()
    return Inherited(unix, tcp)


def bind_unix(home: str) -> socket.socket:
    """Listen on the home's socket; a stale one is removed first, so the daemon's lock must be held. Raises StorageFailed."""
    path = places.socket_path(home)
    folder = Path(path).parent
    if str(folder) == places.short_dir():
        folder.mkdir(0o700, exist_ok=True)
        if not places.is_private(str(folder)):
            raise StorageFailed(f"{folder} does not belong to this user alone", code="unsafe_folder",
                                fix=f"remove {folder}, or use a JMEM_HOME with a shorter path")  # fmt: skip
    Path(path).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        Path(path).chmod(places.SOCKET_MODE)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise StorageFailed(f"can't listen on {path}: {error.strerror}", fix="jmem doctor") from None
    sock.setblocking(False)
    return sock


def bind_tcp(settings: Settings) -> Tcp:
    """Listen on this home's port of 127.0.0.1.

    The first run takes the setting's port, or a free one when that is busy, and keeps it in `$JMEM_HOME/port`; from then
    on the daemon never moves by itself, because the URLs that clients keep carry it. A port that the owner sets later
    takes the place of the kept one.
    """
    path = Path(places.port_path(str(settings.home)))
    wanted, kept = int(settings["port"]), _kept(path)
    chosen = settings.origins["port"] != "default"
    if kept is not None and not (chosen and kept[1] != wanted):
        return _listen(kept[0])
    tcp = _listen(wanted)
    if tcp.sock is None and kept is None:
        tcp = _free(wanted)
    if tcp.sock is not None:
        _keep(path, tcp.port, wanted)
    return tcp


def port_holder(port: int) -> Holder | None:
    """Who listens on a TCP port of this machine; None when nobody does or it can't be told (no /proc, another user)."""
    inodes = _listening(port)
    if not inodes:
        return None
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _has_socket(folder / "fd", inodes):
            with contextlib.suppress(OSError):
                return Holder(int(folder.name), (folder / "comm").read_text().strip())
    return None


def _listen(port: int) -> Tcp:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            holder = port_holder(port)
            return Tcp(port, trouble=f"port {port} is held by {holder or 'another program'}")
        return Tcp(port, trouble=f"port {port} can't be used: {error.strerror}")
    sock.setblocking(False)
    return Tcp(port, sock)


def _free(wanted: int) -> Tcp:
    """A free port near the wanted one, below the range the kernel gives to outgoing connections where possible."""
    for port in range(wanted + 1, min(wanted + _TRY_PORTS, 65536)):
        tcp = _listen(port)
        if tcp.sock is not None:
            return tcp
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return _listen(port)


def _kept(path: Path) -> tuple[int, int] | None:
    """The port of this home, and the setting it was chosen for."""
    try:
        port = int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    try:
        return port, int(_wanted(path).read_text())
    except (FileNotFoundError, ValueError):
        return port, port


def _keep(path: Path, port: int, wanted: int) -> None:
    if port == wanted:
        _wanted(path).unlink(missing_ok=True)
    else:
        _wanted(path).write_text(f"{wanted}\n")
    part = path.with_name(path.name + ".part")
    part.write_text(f"{port}\n")
    part.replace(path)


def _wanted(path: Path) -> Path:
    """Where it is noted that another port than this home's was asked for and was busy."""
    return path.with_name("port.wanted")


def _listening(port: int) -> set[str]:
    inodes = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    return inodes


def _has_socket(folder: Path, inodes: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in inodes for entry in folder.iterdir())
    except OSError:
        return False

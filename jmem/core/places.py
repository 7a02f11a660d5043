"""Where the files of one $JMEM_HOME are. Plain strings and little of the standard library: every command imports it."""

from __future__ import annotations

import os
import sys

import jmem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SOCKET_BYTES = 100
"""The kernel's limit is 108 bytes on Linux and 104 on macOS, with the closing NUL."""
SOCKET_MODE = 0o600
FOLDER_MODE = 0o700


def home(environ: Mapping[str, str]) -> str:
    """`$JMEM_HOME`, else the platform's folder for a user's data (as platformdirs names it); absolute.

    Raises StorageFailed `bad_home` for a path that is not UTF-8: JSON can't name what lies in it.
    """
    path = _home(environ)
    try:
        path.encode()
    except UnicodeEncodeError:
        from jmem.core.errors import StorageFailed

        raise StorageFailed(
            f"the path of jmem's folder is not valid UTF-8: {path!r}",
            code="bad_home",
            fix="set JMEM_HOME to another one",
        ) from None
    return path


def installation() -> str:
    """Which installation of jmem this is, and which one after another in the same place: `<place>.<moment>`, in hex.

    Another moment at the same place means that jmem was installed anew there. Cheap: every command asks.
    """
    file = os.path.abspath(jmem.__file__)
    try:
        moment = os.stat(file).st_mtime_ns
    except OSError:  # taken away, or inside an archive
        moment = 0
    return f"{int.from_bytes(os.fsencode(file)) % 4_294_967_291:x}.{moment:x}"


def _home(environ: Mapping[str, str]) -> str:
    if given := environ.get("JMEM_HOME"):
        return os.path.abspath(os.path.expanduser(given))
    base = environ.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(base, "Library", "Application Support", "jmem")
    if sys.platform == "win32":
        return os.path.join(environ.get("LOCALAPPDATA") or os.path.join(base, "AppData", "Local"), "jmem")
    return os.path.join(environ.get("XDG_DATA_HOME") or os.path.join(base, ".local", "share"), "jmem")


def run_dir(home: str) -> str:
    """The folder of what lives only while the daemon does: socket, locks, daemon.json."""
    return home + "/run"


def socket_path(home: str) -> str:
    """The daemon's unix socket: `run/jmem.sock`, or a hashed short path where that is too long for the kernel.

    The short path depends on nothing but `home` and the user id, so that a command and a daemon that were
    started in different environments (a desktop session, ssh, cron, systemd) agree on it.
    """
    path = home + "/run/jmem.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_BYTES:
        return path
    from hashlib import sha256

    return f"{short_dir()}/{sha256(os.fsencode(home)).hexdigest()[:16]}.sock"


def short_dir() -> str:
    """The folder of hashed socket paths; use it only after `is_private` has said yes."""
    return f"/tmp/jmem-{os.getuid()}"


def is_private(folder: str) -> bool:
    """Whether `folder` is a real folder of this user that nobody else can enter: no other user put it there."""
    try:
        info = os.lstat(folder)
    except OSError:
        return False
    return info.st_mode & 0o170077 == 0o040000 and info.st_uid == os.getuid()


def start_lock(home: str) -> str:
    """Held (flock) by the one command that is starting the daemon."""
    return home + "/run/start.lock"


def daemon_lock(home: str) -> str:
    """Held (flock) by the daemon for as long as it lives."""
    return home + "/run/daemon.lock"


def daemon_info(home: str) -> str:
    """JSON of the running daemon: pid, version, port."""
    return home + "/run/daemon.json"


def token_path(home: str) -> str:
    """The bearer token of the default user, written where there are no unix sockets."""
    return home + "/run/token"


def port_path(home: str) -> str:
    """The TCP port chosen at first run."""
    return home + "/port"


def log_path(home: str) -> str:
    """The daemon's log, JSON lines."""
    return home + "/logs/daemon.log"


def stderr_path(home: str) -> str:
    """What the daemon printed before or beside its log: the reason when it can't start."""
    return home + "/logs/daemon.err"


def users_path(home: str) -> str:
    """JSON: user name -> user id."""
    return home + "/users.json"

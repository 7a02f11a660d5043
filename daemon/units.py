"""Has the system start the daemon when it is needed: systemd by its sockets, launchd at login.

The unix socket and the TCP port are two units, so that another program on the port does not cost the socket too.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.lifecycle import prepare_home
from daemon.lock import FileLock, read_note
from daemon.sockets import bind_tcp
from jmem.core import places
from jmem.core.errors import Conflict, JmemError
from jmem.core.settings import Settings, load

LABEL = "dev.jmem.daemon"
SOCKETS = ("jmem.socket", "jmem-http.socket")
STOP_S = 20.0


def main(command: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """`install [--print]` or `uninstall`; the exit code."""
    if list(arguments) not in ([], ["--print"]):
        sys.stderr.write("usage: python -P -m daemon install [--print] | uninstall\n")
        return 2
    try:
        settings = load(environ)
        files = texts(settings, environ)
        if arguments:
            for path, text in files.items():
                sys.stdout.write(f"# {path}\n{text}\n")
            return 0
        return (_install if command == "install" else _uninstall)(settings, files)
    except JmemError as error:
        sys.stderr.write(f"{error.message}\n" + (f"  {error.fix}\n" if error.fix else ""))
        return error.exit_code


def texts(settings: Settings, environ: Mapping[str, str]) -> dict[Path, str]:
    """path -> text of what belongs on this system."""
    base = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return {base / "Library" / "LaunchAgents" / f"{LABEL}.plist": plist(settings.home)}
    folder = Path(environ.get("XDG_CONFIG_HOME") or base / ".config") / "systemd" / "user"
    home = str(settings.home)
    return {
        folder / "jmem.service": service_unit(settings.home),
        folder / SOCKETS[0]: socket_unit("unix socket", places.socket_path(home), "SocketMode=0600\nDirectoryMode=0700\n"),
        folder / SOCKETS[1]: socket_unit("HTTP and MCP", f"127.0.0.1:{chosen_port(settings)}"),
    }  # fmt: skip


def service_unit(home: Path) -> str:
    """The systemd service, started by the first connection to one of its sockets."""
    return f"""\
[Unit]
Description=jmem, memory for AI assistants
Documentation=https://jmem.dev

[Service]
ExecStart={_quoted(sys.executable.replace("$", "$$"))} -P -m daemon run
Environment={_quoted(f"JMEM_HOME={home}")}
UMask=0077
Restart=on-failure
RestartSec=2

[Install]
Also={" ".join(SOCKETS)}
"""


def socket_unit(what: str, address: str, more: str = "") -> str:
    """A systemd socket that starts the service."""
    return f"""\
[Unit]
Description=jmem, memory for AI assistants ({what})

[Socket]
ListenStream={address.replace("%", "%%")}
Service=jmem.service
Backlog=256
{more}
[Install]
WantedBy=sockets.target
"""


def plist(home: Path) -> str:
    """The launchd agent: runs from login on, and again after a failure."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [sys.executable, "-P", "-m", "daemon", "run"],
            "EnvironmentVariables": {"JMEM_HOME": str(home)},
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardErrorPath": places.stderr_path(str(home)),
        }
    ).decode()


def chosen_port(settings: Settings) -> int:
    """The home's TCP port, chosen now if this is its first use."""
    prepare_home(settings.home)
    tcp = bind_tcp(settings)
    if tcp.sock is not None:
        tcp.sock.close()
    return tcp.port


def _install(settings: Settings, files: Mapping[Path, str]) -> int:
    _stop_running(settings.home)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sys.stdout.write(f"wrote {path}\n")
    if sys.platform == "darwin":
        target = f"gui/{os.getuid()}"
        _run("launchctl", "bootout", f"{target}/{LABEL}", quiet=True)
        return _run("launchctl", "bootstrap", target, str(next(iter(files))))
    return _run("systemctl", "--user", "daemon-reload") or _run("systemctl", "--user", "enable", "--now", *SOCKETS)


def _uninstall(settings: Settings, files: Mapping[Path, str]) -> int:
    there = [path for path in files if path.exists()]
    if not there:
        sys.stdout.write("nothing was installed\n")
        return 0
    if sys.platform == "darwin":
        failed = _run("launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}")
    else:
        failed = _run("systemctl", "--user", "disable", "--now", *SOCKETS, "jmem.service")
    for path in there:
        path.unlink()
        sys.stdout.write(f"removed {path}\n")
    return failed if sys.platform == "darwin" else _run("systemctl", "--user", "daemon-reload") or failed


def _stop_running(home: Path) -> None:
    """A daemon that runs by itself would keep the sockets from the system; raises Conflict when it does not stop."""
    path = Path(places.daemon_lock(str(home)))
    deadline = time.monotonic() + STOP_S
    asked = False
    while True:
        try:
            FileLock.acquire(path, "a jmem daemon is running", {}).release()
            return
        except Conflict:
            if time.monotonic() > deadline:
                raise
        pid = read_note(path).get("pid")
        if isinstance(pid, int) and not asked:
            os.kill(pid, signal.SIGTERM)
            asked = True
        time.sleep(0.05)


def _run(*command: str, quiet: bool = False) -> int:
    """Run a command of the system's; 0, or 1 after saying what went wrong."""
    if shutil.which(command[0]) is None:
        sys.stderr.write(f"{command[0]} is not on this machine: the files are in place, nothing starts them\n")
        return 1
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not quiet:
        sys.stderr.write(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}\n")
        return 1
    return 0


def _quoted(text: str) -> str:
    """A word in a unit file: quoted, with specifiers as plain text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'

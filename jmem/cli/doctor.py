"""What `jmem doctor` does: this program and its clients are checked here, the store and the daemon by a process of
the daemon's own code, so that this one never loads the engine and a dead daemon keeps nothing from being seen.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path
from typing import Any

from jmem import __version__
from jmem.cli.args import Args
from jmem.cli.connect import change, here
from jmem.cli.connect.record import Connections
from jmem.cli.connect.status import Entry, State, amiss, every_state
from jmem.client import Client
from jmem.core.errors import JmemError, StorageFailed
from jmem.core.finding import Finding, examine

DEEP_TIMEOUT = 600.0
"""seconds: reading every byte of a large store takes its time"""
_MARKS = {"ok": "good", "warn": "warn", "fail": "bad"}


def run(args: Args) -> int:
    """Check, and with --fix mend; 1 when something failed."""
    doctor = Doctor(args)
    findings = examine([doctor.python, doctor.packages, doctor.path], mend=args.fix)
    findings += deep(args)
    findings += examine([doctor.clients], mend=args.fix)
    failed = sum(finding.status == "fail" for finding in findings)
    warned = sum(finding.status == "warn" for finding in findings)
    if args.out.json:
        checks = [finding.as_dict() for finding in findings]
        args.out.document(
            {"ok": not failed, "failed": failed, "warned": warned, "version": __version__, "checks": checks}
        )
    else:
        _print(args, findings)
        more = "; jmem doctor --fix mends what it can" if (failed or warned) and not args.fix else ""
        args.out.note(f"{len(findings)} checks: {failed} failed, {warned} to look at{more}")
    return 1 if failed else 0


def _print(args: Args, findings: list[Finding]) -> None:
    out = args.out
    for finding in findings:
        if not out.human:
            out.row(finding.status, finding.name, finding.message, finding.fix, finding.fixed)
            continue
        out.line(
            f"{out.paint(_MARKS[finding.status], f'{finding.status:<4}')}  {finding.name:<12}  {_shown(finding.message)}"
        )
        if finding.fixed:
            out.line(f"{'':20}mended: {_shown(finding.fixed)}")
        if finding.status != "ok" and finding.fix:
            out.line(f"{'':20}fix: {_shown(finding.fix)}")


def _shown(text: str) -> str:
    from jmem.cli.text import one_line

    return one_line(text)


def deep(args: Args) -> list[Finding]:
    """What the daemon's own check finds, in a process of its own."""
    command = [sys.executable, "-P", "-m", "daemon", "check", "--json", *(["--fix"] if args.fix else [])]
    environ = {**args.environ, "JMEM_HOME": args.home}
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEEP_TIMEOUT, check=False
        )
        return [Finding(**found) for found in json.loads(done.stdout)["checks"]]
    except subprocess.TimeoutExpired:
        return [Finding("store", "fail", f"not checked in {DEEP_TIMEOUT:.0f} s")]
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, KeyError, TypeError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = said[-1] if said else f"exit code {done.returncode}"
    return [Finding("daemon", "fail", f"the daemon's program does not run: {reason}", "run ./install.sh again")]


class Doctor:
    """The checks of the command line's own side."""

    def __init__(self, args: Args) -> None:
        self._args = args
        self._machine = here.machine(args.environ)

    def python(self) -> Iterator[Finding]:
        """The interpreter."""
        version = ".".join(map(str, sys.version_info[:3]))
        fine = sys.version_info >= (3, 11)
        yield Finding(
            "python",
            "ok" if fine else "fail",
            f"{version}, {sys.executable}",
            None if fine else "run ./install.sh again",
        )

    def packages(self) -> Iterator[Finding]:
        """jmem's own packages, and those it needs."""
        fix = "run ./install.sh again"
        for name in ("daemon", "sync"):
            spec = util.find_spec(name)
            found = Path(spec.origin).parent.parent if spec and spec.origin else None
            if found != Path(__file__).parent.parent.parent:
                yield Finding("packages", "fail", f"the package {name} is another program's: {found}", fix)
        try:
            installed = metadata.version("jmem")
        except metadata.PackageNotFoundError:
            yield Finding("packages", "warn", "jmem runs from its source and is not installed", fix)
            return
        missing = sorted(name for name in _needed() if not _has(name))
        if missing:
            yield Finding("packages", "fail", f"missing: {', '.join(missing)}", fix)
        elif installed != __version__:
            yield Finding("packages", "warn", f"installed as {installed}, but the code is {__version__}", fix)
        else:
            yield Finding("packages", "ok", f"jmem {__version__}, all of its packages are here")

    def path(self) -> Iterator[Finding]:
        """What a terminal starts when somebody types jmem."""
        ours, first = here.program(self._args.environ), self._machine.which("jmem")
        if first is None:
            fix = f'export PATH="{Path(ours).parent}:$PATH"   in the file your shell reads at start'
            yield Finding("path", "warn", f"jmem is not on the PATH; it is {ours}", fix)
        elif Path(first).resolve() != Path(ours).resolve():
            yield Finding("path", "warn", f"typing jmem starts another one: {first}, not {ours}", f"remove {first}")
        else:
            yield Finding("path", "ok", first)

    def clients(self) -> Iterator[Finding]:
        """The settings of every client that is connected."""
        connected = 0
        for state in every_state(self._machine, self._args.user):
            for entry in state.entries:
                if entry.problem:
                    yield Finding(state.client.name, "fail", entry.problem.message, entry.problem.fix)
                elif entry.form:
                    connected += 1
                    yield self._client(state, entry)
        for finding in self._lost():
            connected += 1
            yield finding
        if not connected:
            yield Finding("clients", "ok", self._keyed() or "no program is connected yet (jmem connect)")

    def _keyed(self) -> str:
        """The programs that have a key though no settings on this machine name jmem; nothing without a daemon."""
        daemon = Client(self._args.home, user=self._args.user, autostart=False)
        try:
            names = [one["name"] for one in daemon.clients() if not one["revoked"]] if daemon.running() else []
        except JmemError:
            return ""
        held = f"{names[0]} has" if len(names) == 1 else f"{', '.join(names)} have"
        return f"no settings here name jmem; {held} a key, used elsewhere or by hand (jmem clients)" if names else ""

    def _client(self, state: State, entry: Entry) -> Finding:
        name, environ = state.client.name, self._args.environ
        reason = amiss(entry, self._args.home, here.plain_home(environ), _port(self._args.home))
        if reason is None and entry.form == "http" and not Client(self._args.home, autostart=False).listening():
            said = (
                f"connected by a URL in {entry.place.path}, which answers only while the daemon runs: now it does not"
            )
            return Finding(name, "warn", said, "jmem daemon install   or: jmem daemon start")
        if reason is None:
            return Finding(name, "ok", f"connected ({entry.form}) in {entry.place.path}")
        found = Finding(name, "fail", f"{entry.place.path}: {reason}", f"jmem connect {name}")
        # A URL holds a key that only the daemon can make, so only a command is mended here.
        return replace(found, mend=lambda: self._repoint(state)) if entry.form == "stdio" else found

    def _repoint(self, state: State) -> str:
        args, client = self._args, state.client
        launch = here.launch(client.name, args.user, args.home, args.environ)
        known = Connections(Path(args.home))
        changes = change.connecting(client, self._machine, args.user, launch)
        known.put(change.apply(changes, known.get(args.user, client.name), client.name, args.user, "stdio"))
        return f"{client.title} now starts {launch.command}"

    def _lost(self) -> Iterator[Finding]:
        """Clients that jmem connected and whose settings have no entry of jmem any more."""
        try:
            known = Connections(Path(self._args.home))
        except StorageFailed as error:
            yield Finding("clients", "fail", error.message, error.fix)
            return
        for connection in known.all():
            for state in every_state(self._machine, connection.user):
                if state.client.name == connection.client and not state.form and not state.problem:
                    fix = f"jmem connect {connection.client}   or: jmem disconnect {connection.client}"
                    yield Finding(
                        connection.client,
                        "warn",
                        f"{state.client.title}'s settings have no entry of jmem any more",
                        fix,
                    )


def _port(home: str) -> int | None:
    from jmem.core import places

    try:
        return int(Path(places.port_path(home)).read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _needed() -> list[str]:
    """The distributions that jmem always needs on this platform."""
    wanted: list[str] = []
    for line in metadata.requires("jmem") or []:
        requirement, _, marker = line.partition(";")
        if "extra" in marker or ("win32" in marker and sys.platform == "win32"):
            continue
        match: Any = re.match(r"[A-Za-z0-9._-]+", requirement)
        wanted.append(match.group())
    return wanted


def _has(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True

"""`jmem daemon`."""

from __future__ import annotations

import os
import sys

from jmem.cli.output import OK, UNREACHABLE
from jmem.cli.progress import duration
from jmem.cli.spec import Command, Group, Option
from jmem.cli.text import block, wrap
from jmem.client import Client
from jmem.core import places
from jmem.core.errors import JmemError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jmem.cli.args import Args

_RUN = "jmem.cli.commands.daemon:"
GROUP = Group("daemon", "The local process that keeps the memories.", default="status")
COMMANDS = (
    Command(
        "status",
        "Show whether it runs. Starts nothing.",
        group="daemon",
        run=_RUN + "status",
        help="Ends with code 3 when it does not run.",
        examples=(("jmem daemon status", ""),),
    ),
    Command(
        "start",
        "Start it. Every command that needs it does.",
        group="daemon",
        run=_RUN + "start",
        examples=(("jmem daemon start", ""),),
    ),
    Command("stop", "Stop it.", group="daemon", run=_RUN + "stop", examples=(("jmem daemon stop", ""),)),
    Command(
        "restart",
        "Stop it and start it, so that it takes in changed settings.",
        group="daemon",
        run=_RUN + "restart",
        examples=(("jmem daemon restart", ""),),
    ),
    Command(
        "logs",
        "Show what it logged.",
        group="daemon",
        run=_RUN + "logs",
        help="The log holds no memory's text. With --json or --jsonl: the log's own JSON lines.",
        params=(
            Option("--lines", "-n", help="How many of the last lines.", kind="int", default=50, low=1),
            Option("--follow", "-f", help="Go on as it logs.", kind="flag"),
        ),
        examples=(("jmem daemon logs -n 20", ""), ("jmem daemon logs -f", "")),
        lines=True,
    ),
    Command(
        "token",
        "Print the bearer token of the HTTP API.",
        group="daemon",
        run=_RUN + "token",
        examples=(
            ("jmem daemon token", ""),
            ('curl -H "Authorization: Bearer $(jmem daemon token)" http://127.0.0.1:8765/api/v1/stats', ""),
        ),
    ),
    Command(
        "install",
        "Let the system start it when it is needed (systemd, launchd).",
        group="daemon",
        run=_RUN + "install",
        params=(Option("--print", help="Print the units instead.", kind="flag"),),
        examples=(("jmem daemon install", ""), ("jmem daemon install --print", "")),
    ),
    Command(
        "uninstall",
        "Take that back.",
        group="daemon",
        run=_RUN + "uninstall",
        examples=(("jmem daemon uninstall", ""),),
    ),
    Command(
        "run",
        "Run it in this terminal.",
        group="daemon",
        run=_RUN + "run",
        json=False,
        examples=(("jmem daemon run", "ctrl-c stops it"),),
    ),
)


def status(args: Args) -> int:
    """Show pid, version and port; 3 when there is none."""
    client = Client(args.home, user=args.user, autostart=False)
    out = args.out
    if not client.running():
        if out.json:
            out.document({"daemon": None})
        else:
            out.line("not running")
        return UNREACHABLE
    daemon = client.status()["daemon"]
    if out.json:
        out.document({"daemon": daemon})
    elif out.human:
        for name, value in _status_rows(daemon):
            first, *more = wrap(block(value), max(out.columns - 11, 20))
            out.line(out.paint("dim", f"{name:<10} ") + first)
            for line in more:
                out.line(" " * 11 + line)
    else:
        for name, value in daemon.items():
            out.row(name, value)
    return OK


def _status_rows(daemon: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a person wants to know of it, with units."""
    yield "daemon", f"running, pid {daemon['pid']}, version {daemon.get('version', 'unknown')}"
    if daemon.get("uptime_s") is not None:
        yield "up", duration(daemon["uptime_s"])
    if daemon.get("rss_mb") is not None:
        yield "memory", f"{daemon['rss_mb']:.0f} MB"
    told = {"pid", "version", "uptime_s", "rss_mb"}
    for name, value in daemon.items():
        if name not in told and value is not None:
            yield name.replace("_", " "), str(value).lower() if isinstance(value, bool) else str(value)


def start(args: Args) -> int:
    """Start it, unless it runs."""
    return _started(args, args.daemon.start())


def stop(args: Args) -> int:
    """Stop it, if it runs."""
    stopped = Client(args.home, user=args.user, autostart=False).stop()
    if args.out.json:
        args.out.document({"stopped": stopped})
    else:
        args.out.note("stopped" if stopped else "it does not run")
    return OK


def restart(args: Args) -> int:
    """Stop and start."""
    args.daemon.stop()
    return _started(args, args.daemon.start())


def _started(args: Args, fresh: bool) -> int:
    health = args.daemon.health()
    if args.out.json:
        args.out.document({"started": fresh, "pid": health["pid"], "version": health["version"]})
    else:
        args.out.note(f"{'started' if fresh else 'it runs already'}, pid {health['pid']}")
    return OK


def logs(args: Args) -> int:
    """The last lines, and those to come with --follow."""
    from jmem.cli.logview import follow, last_lines, show

    path = places.log_path(args.home)
    if not os.path.exists(path):
        raise NotFound(f"there is no log at {path} yet", code="file", fix="jmem daemon start")
    for line in last_lines(path, args.lines):
        show(args.out, line)
    args.out.flush()
    if args.follow:
        for line in follow(path):
            show(args.out, line)
            args.out.flush()
    return OK


def token(args: Args) -> int:
    """Print it."""
    value = args.daemon.token()
    if args.out.json:
        args.out.document({"token": value})
    else:
        args.out.line(value)
    return OK


def install(args: Args) -> int:
    """Write the units and start them."""
    return _delegate(args, "install", *(["--print"] if args.print else []))


def uninstall(args: Args) -> int:
    """Stop the units and remove them."""
    return _delegate(args, "uninstall")


def run(args: Args) -> int:
    """Become the daemon."""
    args.out.flush()
    os.execve(sys.executable, _command("run"), {**args.environ, "JMEM_HOME": args.home})


def _command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "daemon", *words]


def _delegate(args: Args, *words: str) -> int:
    """The daemon's own program does what concerns its service; this module may not import it."""
    import subprocess

    done = subprocess.run(
        _command(*words),
        env={**args.environ, "JMEM_HOME": args.home},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it can't be done here"]
        fixes = [line.strip() for line in lines[1:] if line.startswith("  ")]
        error = JmemError(lines[0], code="service", fix=fixes[-1] if fixes else None)
        error.exit_code = done.returncode
        raise error
    if args.out.json:
        args.out.document({"done": words[0], "lines": done.stdout.splitlines()})
    else:
        args.out.write(block(done.stdout))
    return OK

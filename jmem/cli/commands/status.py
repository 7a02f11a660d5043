"""`jmem status`."""

from __future__ import annotations

from jmem import __version__
from jmem.cli.progress import duration
from jmem.cli.render import ago
from jmem.cli.spec import Command
from jmem.client import Client
from jmem.core import places
from jmem.wire import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jmem.cli.args import Args

    Document = dict[str, Any]

COMMAND = Command(
    "status",
    "Show how jmem is: memories, daemon, index. Starts nothing.",
    run="jmem.cli.commands.status:run",
    examples=(("jmem status", ""), ("jmem status --json | jq .daemon.pid", "")),
)


def run(args: Args) -> int:
    """Ask the daemon, if there is one."""
    client = Client(args.home, user=args.user, autostart=False)
    status = client.status() if client.running() else _without_daemon(args)
    if args.out.json:
        args.out.document(status)
        return 0
    for name, value in _rows({"home": args.home, **status}):
        if args.out.human:
            args.out.line(args.out.paint("dim", f"{name:<10}") + value)
        else:
            args.out.row(name, value)
    return 0


def _without_daemon(args: Args) -> Document:
    """The same shape, as far as it is known without a daemon."""
    return {
        "version": __version__, "user_id": _user_id(args), "memories": None, "review": None, "pending_index": None,
        "daemon": None, "embedder": None, "sync": None,
    }  # fmt: skip


def _user_id(args: Args) -> str | None:
    try:
        with open(places.users_path(args.home), encoding="utf-8") as file:
            users = loads(file.read())
    except (OSError, ValueError):
        return None
    found = users.get(args.user) if isinstance(users, dict) else None
    return str(found) if found else None


def _rows(status: Document) -> Iterator[tuple[str, str]]:
    daemon = status["daemon"]
    yield "version", str(status["version"])
    yield "home", str(status["home"])
    yield "user", str(status["user_id"] or "none yet")
    if status["memories"] is not None:
        yield "memories", f"{status['memories']:,}"
        waiting = status["review"]
        yield (
            "review",
            f"{waiting:,} {'waits' if waiting == 1 else 'wait'}: jmem review" if waiting else "nothing waits",
        )
        pending = status["pending_index"]
        yield "index", "up to date" if not pending else f"{pending:,} to do"
    if daemon is None:
        yield "daemon", "not running (the next command starts it)"
    else:
        yield "daemon", ", ".join(_daemon(daemon))
    if status["embedder"]:
        yield (
            "embedder",
            ", ".join(str(v) for k, v in status["embedder"].items() if k in ("name", "model", "state") and v),
        )
    if status.get("warning"):
        yield "warning", status["warning"]
    if status["sync"]:
        yield "sync", said(status["sync"])


def said(sync: Document) -> str:
    """How the exchange goes in one line, with what mends it."""
    state = str(sync.get("state", "off"))
    if state == "off":
        return "not signed in: nothing leaves this machine (jmem login)"
    words = [state.replace("_", " ")]
    if sync.get("waiting"):
        words.append(f"{sync['waiting']:,} wait")
    if sync.get("stuck"):
        words.append(f"{len(sync['stuck']):,} the account does not take: jmem sync status")
    if sync.get("conflicts"):
        words.append(f"{sync['conflicts']:,} with texts written apart: jmem conflicts")
    error = sync.get("error") or {}
    if state == "paused":
        words.append("go on with: jmem sync resume")
    elif error:
        since = f"since {ago(sync['last_exchange'])}" if sync.get("last_exchange") else "since it began"
        words += [f"{since}: {error.get('title')}", str(error.get("fix") or "jmem sync status")]
    return "; ".join(words)


def _daemon(daemon: Document) -> Iterator[str]:
    yield f"pid {daemon['pid']}"
    if daemon.get("rss_mb"):
        yield f"{daemon['rss_mb']:.0f} MB"
    if daemon.get("port"):
        yield f"port {daemon['port']}" + (f" ({daemon['trouble']})" if daemon.get("trouble") else "")
    if daemon.get("uptime_s"):
        yield f"up {duration(daemon['uptime_s'])}"
    if daemon.get("version") and daemon["version"] != __version__:
        yield f"version {daemon['version']}"

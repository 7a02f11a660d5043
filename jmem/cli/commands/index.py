"""`jmem index`."""

from __future__ import annotations

import time

from jmem.cli.output import FAILED, OK
from jmem.cli.progress import Progress
from jmem.cli.spec import Command, Group, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

    Document = dict[str, Any]

_RUN = "jmem.cli.commands.index:"
_EVERY = 0.2
GROUP = Group("index", "The vector index: its state, and making it anew.", default="status")
COMMANDS = (
    Command(
        "status",
        "Show how far the vector index is.",
        group="index",
        run=_RUN + "status",
        examples=(("jmem index", ""),),
    ),
    Command(
        "rebuild",
        "Make the vector index anew from the memories.",
        group="index",
        run=_RUN + "rebuild",
        help="Nothing is lost by it: the index is derived data. Search goes on meanwhile.",
        params=(Option("--embed", help="Embed every text again, instead of using the stored vectors.", kind="flag"),),
        examples=(("jmem index rebuild", ""), ("jmem index rebuild --embed", "")),
    ),
)


def status(args: Args) -> int:
    """Show it."""
    _show(args, args.daemon.index())
    return 0


def rebuild(args: Args) -> int:
    """Start a rebuild and wait until nothing is left to do."""
    state = args.daemon.rebuild_index(embed=args.embed)
    with Progress(args.out, "indexed", (state.get("indexed") or 0) + (state.get("pending") or 0)) as progress:
        while state["state"] == "indexing" or (state["pending"] and state["state"] == "ready"):
            progress.update(state["indexed"])
            time.sleep(_EVERY)
            state = args.daemon.index()
    _show(args, state)
    return OK if state["state"] == "ready" else FAILED


def _show(args: Args, state: Document) -> None:
    if args.out.json:
        args.out.document(state)
        return
    for name, value in state.items():
        if value is None:
            continue
        if args.out.human:
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
            args.out.line(args.out.paint("dim", f"{name:<13}") + shown)
        else:
            args.out.row(name, value)

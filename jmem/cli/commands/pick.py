"""`jmem pick`."""

from __future__ import annotations

from jmem.cli.options import CLIENT, STATE, TAG, filter_request
from jmem.cli.output import INTERRUPTED, OK
from jmem.cli.spec import Argument, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "pick",
    "Choose a memory from a list that follows what you type.",
    run="jmem.cli.commands.pick:run",
    help="The list is drawn on the terminal, never on stdout, so that it works inside $(…). Arrows or ctrl-n and\n"
    "ctrl-p move, enter chooses, esc leaves without a choice (code 130).",
    params=(
        Argument("query", "What to look for at first.", many=True, required=False, metavar="QUERY"),
        Option("--text", help="Print the memory's text instead of its id.", kind="flag"),
        Option("--limit", "-n", help="How many to choose from.", kind="int", default=50, low=1, high=1000),
        TAG,
        CLIENT,
        STATE,
    ),
    examples=(("jmem edit $(jmem pick seats)", ""), ("jmem pick --text | pbcopy", "")),
)


def run(args: Args) -> int:
    """Let the person choose, print the choice."""
    from jmem.cli.picker import choose
    from jmem.core.errors import Invalid

    try:
        terminal = open("/dev/tty", "r+b", buffering=0)  # noqa: SIM115 (closed below)
    except OSError:
        raise Invalid("pick needs a terminal", code="usage", fix="jmem search QUERY -n 1 | cut -f1") from None
    with terminal:
        chosen = choose(terminal, args.environ, lambda query: _find(args, query), " ".join(args.query))
    if chosen is None:
        return INTERRUPTED
    if args.out.json:
        args.out.document(chosen)
    elif args.text:
        args.out.write(chosen["content"] + "\n")
    else:
        args.out.line(chosen["id"])
    return OK


def _find(args: Args, query: str) -> list[dict[str, Any]]:
    """The newest memories, or the best hits once something is typed."""
    if not query.strip():
        page = args.daemon.page({"limit": args.limit, "tag": args.tag, "client": args.client, "state": args.state})
        return list(page["memories"])
    found = args.daemon.search({"query": query, "limit": args.limit, **filter_request(args)})
    return list(found["results"])

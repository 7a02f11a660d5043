"""`jmem show`."""

from __future__ import annotations

from jmem.cli import render
from jmem.cli.options import AS_OF
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import block, local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "show",
    "Show a memory in full.",
    run="jmem.cli.commands.show:run",
    help="In a pipe: one line a field, name and value separated by a tab.",
    params=(
        Argument("id", "Which memory: any unique part of its id, from either end.", many=True, complete="ids"),
        AS_OF,
        Option("--chain", help="Show all that it superseded or was superseded by, oldest first.", kind="flag"),
        Option("--text", help="Print the text alone, exactly as it is stored.", kind="flag"),
    ),
    examples=(
        ("jmem show 789abc", ""),
        ("jmem show 789abc --as-of yesterday", "as it stood at the end of yesterday"),
        ("jmem show 789abc --chain", "what it said before, and what holds now"),
        ("jmem show 789abc --text > letter.md", ""),
    ),
    lines=True,
)


def run(args: Args) -> int:
    """Show each of them."""
    out = args.out
    if args.chain:
        return _chains(args)
    memories = [args.daemon.get(id, args.as_of) for id in args.id]
    if out.json and not out.lines:
        out.document(memories[0] if len(memories) == 1 else {"memories": memories})
        return 0
    for number, memory in enumerate(memories):
        if out.lines:
            out.document(memory)
        elif args.text and not out.human:
            out.write(memory["content"] + "\n")
        elif args.text:
            out.line(block(memory["content"]))
        elif out.human:
            if number:
                out.line()
            if memory.get("as_of"):
                out.note(f"as of {local_time(memory['as_of'])}")
            render.card(out, memory)
        else:
            for name, value in memory.items():
                out.row(name, ",".join(value) if name == "tags" else render.plain_value(value))
    return 0


def _chains(args: Args) -> int:
    """Show the chain of each of them."""
    from jmem.core.errors import Invalid

    if args.as_of is not None or args.text:
        raise Invalid("--chain goes with neither --as-of nor --text", code="usage", fix="jmem show ID --chain")
    out = args.out
    chains = [args.daemon.chain(id) for id in args.id]
    if out.json and not out.lines:
        out.document(chains[0] if len(chains) == 1 else {"chains": chains})
        return 0
    for number, found in enumerate(chains):
        if out.lines:
            for memory in found["chain"]:
                out.document({**memory, "current": memory["id"] == found["current"]})
        elif out.human:
            if number:
                out.line()
            render.chain(out, found)
        else:
            for memory in found["chain"]:
                render.plain_row(out, memory, render.standing(memory, found["current"]))
        if found.get("truncated"):
            out.note("the oldest of a long chain are left out")
    return 0

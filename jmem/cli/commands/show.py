"""`jmem show`."""

from __future__ import annotations

from jmem.cli import render
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import block

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
        Option("--text", help="Print the text alone, exactly as it is stored.", kind="flag"),
    ),
    examples=(("jmem show 789abc", ""), ("jmem show 789abc --text > letter.md", "")),
    lines=True,
)


def run(args: Args) -> int:
    """Show each of them."""
    out = args.out
    memories = [args.daemon.get(id) for id in args.id]
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
            render.card(out, memory)
        else:
            for name, value in memory.items():
                out.row(name, ",".join(value) if name == "tags" else render.plain_value(value))
    return 0

"""`jmem restore`."""

from __future__ import annotations

from jmem.cli.commands.edit import show_changed
from jmem.cli.spec import Argument, Command, Option
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "restore",
    "Bring back a deleted memory, or an earlier text of one.",
    run="jmem.cli.commands.restore:run",
    params=(
        Argument("id", "Which memories: any unique part of each id.", many=True, metavar="ID", complete="deleted"),
        Option(
            "--rev", help="The revision whose text to bring back, as `jmem log ID` numbers them.", kind="int", low=1
        ),
    ),
    examples=(
        ("jmem restore 789abc", ""),
        ("jmem restore 789abc --rev 2", ""),
        ("jmem list --deleted", "what there is to bring back"),
    ),
    lines=True,
)


def run(args: Args) -> int:
    """Restore each of them."""
    if args.rev is not None and len(args.id) > 1:
        raise Invalid("--rev is of one memory", code="usage", fix=f"jmem restore {args.id[0]} --rev {args.rev}")
    memories = [args.daemon.restore(id, args.rev) for id in args.id]
    if args.out.json and not args.out.lines and len(memories) > 1:
        args.out.document({"memories": memories})
        return 0
    for memory in memories:
        show_changed(args, memory)
    return 0

"""`jmem undo`."""

from __future__ import annotations

from jmem.cli.spec import Command, Option
from jmem.cli.text import age, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "undo",
    "Take back the last action, whoever did it.",
    run="jmem.cli.commands.undo:run",
    help="What was changed again since stays as it is, and is named. A purge can't be undone.",
    params=(
        Option("--count", "-n", help="How many actions.", kind="int", default=1, low=1, high=1000),
        Option("--redo", help="Take back the last undo instead.", kind="flag"),
        Option("--dry-run", help="Show what would be done.", kind="flag"),
    ),
    examples=(("jmem undo", ""), ("jmem undo -n 3 --dry-run", ""), ("jmem undo --redo", "")),
)


def run(args: Args) -> int:
    """Undo or redo, and say what."""
    out = args.out
    answer = args.daemon.undo(args.count, redo=args.redo, dry_run=args.dry_run)
    if out.json:
        out.document(answer)
        return 0
    word = "redo" if args.redo else "undo"
    did = f"would {word}" if args.dry_run else f"{word}ne"
    for action in answer["undone"]:
        ids = action["ids"]
        if out.human:
            what = " ".join(id[-6:] for id in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
            out.line(
                f"{did}  {action['kind']}  {out.paint('id', what)}  "
                + out.paint("dim", f"{one_line(action['client'])}, {age(action['at'])}")
            )
        else:
            out.row(action["action"], action["at"], action["kind"], action["client"], ",".join(ids))
    for skipped in answer["skipped"]:
        out.warn(f"{skipped['id'][-6:]} stays as it is: {skipped['reason']}")
    if not answer["undone"] and not answer["skipped"]:
        out.note(f"there is nothing to {word}")
    return 0

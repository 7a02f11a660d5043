"""`jmem undo`."""

from __future__ import annotations

from jmem.cli.render import SHOWN, some_ids
from jmem.cli.spec import Command, Option
from jmem.cli.text import age, one_line
from jmem.core.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    """Undo or redo, and say what; 6 when every memory that it would change has to stay as it is."""
    out = args.out
    answer = args.daemon.undo(args.count, redo=args.redo, dry_run=args.dry_run)
    if answer["skipped"] and not any(action["ids"] for action in answer["undone"]):
        raise _nothing(answer["skipped"], args.redo)
    if out.json:
        out.document(answer)
        return 0
    word = "redo" if args.redo else "undo"
    did = f"would {word}" if args.dry_run else f"{word}ne"
    for action in answer["undone"]:
        ids = action["ids"]
        if out.human:
            what = " ".join(id[-6:] for id in ids[:SHOWN]) + (
                f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
            )
            out.line(
                f"{did}  {action['kind']}  {out.paint('id', what)}  "
                + out.paint("dim", f"{one_line(action['client'])}, {age(action['at'])}")
            )
        else:
            out.row(action["action"], action["at"], action["kind"], action["client"], some_ids(ids, len(ids)))
    skipped = answer["skipped"]
    for one in skipped[:SHOWN]:
        out.warn(_stays(one))
    if len(skipped) > SHOWN:
        out.warn(f"{len(skipped) - SHOWN:,} more stay as they are")
    if not answer["undone"]:
        out.note(f"there is nothing to {word}")
    return 0


def _nothing(skipped: list[dict[str, Any]], redo: bool) -> Conflict:
    reasons = "; ".join(_stays(one) for one in skipped[:SHOWN])
    more = f"; and {len(skipped) - SHOWN:,} more" if len(skipped) > SHOWN else ""
    word = "redone" if redo else "undone"
    return Conflict(f"nothing could be {word}: {reasons}{more}", fix="jmem log", skipped=skipped)


def _stays(skipped: dict[str, Any]) -> str:
    return f"{skipped['id'][-6:]} stays as it is: {skipped['reason']}"

"""`jmem undo`."""

from __future__ import annotations

from jmem.cli import changes
from jmem.cli.ask import confirmed
from jmem.cli.options import YES
from jmem.cli.output import OK
from jmem.cli.render import SHOWN, some_ids
from jmem.cli.spec import Command, Option
from jmem.cli.text import age, one_line
from jmem.core.errors import Conflict, Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

COMMAND = Command(
    "undo",
    "Take back the last action, whoever did it.",
    run="jmem.cli.commands.undo:run",
    help="What was changed again since stays as it is, and is named. A purge can't be undone.\n"
    "With --client or --since: everything that program did, or that was done since then. It shows what would change,\n"
    "asks, and is one step: `jmem undo --redo` repeats all of it.",
    params=(
        Option("--count", "-n", help="How many actions (1).", kind="int", low=1, high=1000),
        Option("--client", "-c", help="All that this program did.", metavar="NAME", complete="clients"),
        Option("--since", help="All that was done since this time.", metavar="WHEN"),
        Option("--redo", help="Take back the last undo instead.", kind="flag"),
        Option("--dry-run", help="Show what would be done.", kind="flag"),
        YES,
    ),
    examples=(
        ("jmem undo", ""),
        ("jmem undo -n 3 --dry-run", ""),
        ('jmem undo --client cursor --since "2 hours ago"', "shows what would change, and asks"),
        ("jmem undo --redo", ""),
    ),
)


def run(args: Args) -> int:
    """Undo or redo, and say what; 6 when every memory that it would change has to stay as it is."""
    grouped = args.client is not None or args.since is not None
    if grouped and (args.redo or args.count is not None):
        raise Invalid("--client and --since go without -n and --redo", fix="jmem help undo")
    if grouped:
        return _group(args)
    answer = args.daemon.undo(args.count or 1, redo=args.redo, dry_run=args.dry_run)
    return _tell(args, answer, args.dry_run)


def _group(args: Args) -> int:
    """Show what would change, ask, and take it back as one step."""
    out, daemon = args.out, args.daemon
    if args.yes and not args.dry_run:
        return _tell(args, daemon.undo_all(args.client, args.since), dry=False)
    preview = daemon.undo_all(args.client, args.since, dry_run=True)
    if args.dry_run or not preview["changed"]:
        return _tell(args, preview, dry=True)
    if out.human:
        changes.show(out, preview)
        _warn(out, preview["skipped"])
    count = len(preview["undone"])
    actions = "1 action" if count == 1 else f"{count:,} actions"
    if preview.get("truncated"):
        actions = "all of it"
    memories = "1 memory" if preview["changed"] == 1 else f"{preview['changed']:,} memories"
    if not confirmed(out, f"Take back {actions}, changing {memories}", yes=False):
        return OK
    # what the program has done while the question stood is not in what was agreed to
    answer = daemon.undo_all(args.client, args.since, upto=preview["undone"][0]["action"])
    if out.human:  # what stays as it is was told before it was asked
        answer["skipped"] = [one for one in answer["skipped"] if one not in preview["skipped"]]
    code = _tell(args, answer, dry=False)
    out.note("`jmem undo --redo` brings all of it back")
    return code


def _tell(args: Args, answer: Document, dry: bool) -> int:
    """Say what was done, or would be."""
    out = args.out
    if answer["skipped"] and not answer["changed"]:
        raise _nothing(answer["skipped"], args.redo)
    if out.json:
        out.document(answer)
        return OK
    word = "redo" if args.redo else "undo"
    did = f"would {word}" if dry else f"{word}ne"
    undone = answer["undone"]
    if out.human and len(undone) > SHOWN:
        out.line(f"{did}  {_kinds(undone)}")
    else:
        for action in undone:
            _action(out, did, action)
    if out.human and dry:
        changes.show(out, answer)
    _warn(out, answer["skipped"])
    if not undone:
        out.note(f"there is nothing to {word}")
    return OK


def _warn(out: Output, skipped: list[Document]) -> None:
    """Name what stays as it is."""
    for one in skipped[:SHOWN]:
        out.warn(_stays(one))
    if len(skipped) > SHOWN:
        out.warn(f"{len(skipped) - SHOWN:,} more stay as they are")


def _action(out: Output, did: str, action: Document) -> None:
    ids = action["ids"]
    if not out.human:
        out.row(action["action"], action["at"], action["kind"], action["client"], some_ids(ids, len(ids)))
        return
    what = " ".join(id[-6:] for id in ids[:SHOWN]) + (f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else "")
    about = out.paint("dim", f"{one_line(action['client'])}, {age(action['at'])}")
    out.line(f"{did}  {action['kind']}  {out.paint('id', what)}  {about}")


def _kinds(undone: list[Document]) -> str:
    """`9 add, 3 edit`, the most frequent first."""
    counts: dict[str, int] = {}
    for action in undone:
        counts[action["kind"]] = counts.get(action["kind"], 0) + 1
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items(), key=lambda one: -one[1]))


def _nothing(skipped: list[Document], redo: bool) -> Conflict:
    reasons = "; ".join(_stays(one) for one in skipped[:SHOWN])
    more = f"; and {len(skipped) - SHOWN:,} more" if len(skipped) > SHOWN else ""
    word = "redone" if redo else "undone"
    return Conflict(f"nothing could be {word}: {reasons}{more}", fix="jmem log", skipped=skipped)


def _stays(skipped: Document) -> str:
    return f"{skipped['id'][-6:]} stays as it is: {skipped['reason']}"

"""`jmem rm`."""

from __future__ import annotations

from jmem.cli.ask import confirmed
from jmem.cli.options import YES
from jmem.cli.output import NOT_FOUND, OK
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import cut, one_line
from jmem.core.errors import Ambiguous, NotFound, from_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "rm",
    "Delete memories; --purge forgets them for ever.",
    run="jmem.cli.commands.rm:run",
    help="What was deleted is gone from every search at once, and `jmem undo` or `jmem restore` brings it back. What\n"
    "was purged is gone from every place for ever; a receipt names each place.",
    params=(
        Argument("id", "Which memories: any unique part of each id.", many=True, metavar="ID"),
        Option("--purge", help="Forget for ever, history and all.", kind="flag"),
        YES,
    ),
    examples=(("jmem rm 789abc", ""), ("jmem rm 789abc 12def0 --yes", ""), ("jmem rm 789abc --purge", "asks first")),
)


def run(args: Args) -> int:
    """Delete or purge them; 5 when one of them was not there."""
    if args.purge:
        return _purge(args)
    if len(args.id) > 1 and not confirmed(args.out, f"Delete {len(args.id)} memories", args.yes):
        return OK
    deleted, missing = _delete(args)
    out = args.out
    if out.json:
        out.document({"deleted": deleted, "missing": missing})
    else:
        for id in deleted:
            out.line(id)
    if deleted:
        out.note(f"deleted {len(deleted)}; `jmem undo` brings {'it' if len(deleted) == 1 else 'them'} back")
    return _missing(args, missing)


def _delete(args: Args) -> tuple[list[str], list[str]]:
    """Ids of what was deleted, and the words that named nothing. Raises Ambiguous, of one word alone."""
    deleted: list[str] = []
    missing: list[str] = []
    if len(args.id) == 1:
        try:
            answer = args.daemon.delete(args.id[0])
        except Ambiguous:
            raise
        except NotFound:
            return [], [args.id[0]]
        return answer["deleted"], answer["missing"]
    results = args.daemon.batch([{"op": "delete", "id": id} for id in args.id])
    for id, result in zip(args.id, results, strict=True):
        if result["status"] < 400:
            deleted += result["deleted"]
            continue
        error = from_problem(result["problem"])
        if isinstance(error, Ambiguous) or not isinstance(error, NotFound):
            args.out.warn(error.message)
        missing.append(id)
    return deleted, missing


def _purge(args: Args) -> int:
    out = args.out
    found: list[tuple[str, str]] = []
    missing: list[str] = []
    for id in args.id:
        try:
            history = args.daemon.history(id)  # of deleted ones too
        except Ambiguous:
            raise
        except NotFound:
            missing.append(id)
            continue
        found.append((history["id"], history["revisions"][-1]["content"] or ""))
    if out.human and not args.yes:
        for id, content in found:
            out.line(out.paint("id", id[-6:]) + "  " + cut(one_line(" ".join(content.split())), out.columns - 8))
    count = "this memory" if len(found) == 1 else f"these {len(found)} memories"
    if found and not confirmed(out, f"Forget {count} for ever", args.yes):
        return OK
    purged = [entry for id, _ in found for entry in args.daemon.purge(id)["purged"]]
    if out.json:
        out.document({"purged": purged, "missing": missing})
    else:
        for entry in purged:
            _receipt(args, entry)
    return _missing(args, missing)


def _receipt(args: Args, entry: dict[str, Any]) -> None:
    out = args.out
    if out.human:
        out.line(out.paint("id", entry["id"]))
    for line in entry["receipt"]:
        if out.human:
            out.line(f"  {line['place']:<24}  {line['result']:<32}  " + out.paint("dim", line["at"]))
        else:
            out.row(entry["id"], line["place"], line["result"], line["at"])


def _missing(args: Args, missing: list[str]) -> int:
    for id in missing:
        if not args.out.json:
            args.out.warn(f"not found: {id}")
    return NOT_FOUND if missing else OK

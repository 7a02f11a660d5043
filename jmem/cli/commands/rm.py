"""`jmem rm`."""

from __future__ import annotations

from jmem.cli.ask import confirmed
from jmem.cli.options import YES
from jmem.cli.output import NOT_FOUND, OK
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import cut, local_time, one_line, wrap
from jmem.core.errors import Ambiguous, NotFound, from_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args
    from jmem.core.errors import JmemError

COMMAND = Command(
    "rm",
    "Delete memories; --purge forgets them for ever.",
    run="jmem.cli.commands.rm:run",
    help="What was deleted is gone from every search at once, and `jmem undo` or `jmem restore` brings it back. What\n"
    "was purged is gone from every place for ever; a receipt names each place.",
    params=(
        Argument("id", "Which memories: any unique part of each id.", many=True, metavar="ID", complete="ids"),
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
    if missing and not deleted:
        return _all_missing(args, missing)
    if out.json:
        out.document({"deleted": deleted, "missing": list(missing)})
    else:
        for id in deleted:
            out.line(id)
    if deleted:
        out.note(f"deleted {len(deleted)}; `jmem undo` brings {'it' if len(deleted) == 1 else 'them'} back")
    return _missing(args, missing)


def _delete(args: Args) -> tuple[list[str], dict[str, JmemError]]:
    """Ids of what was deleted, and why what named nothing did not. Raises what else goes wrong with one word alone."""
    missing: dict[str, JmemError] = {}
    if len(args.id) == 1:
        try:
            answer = args.daemon.delete(args.id[0])
        except Ambiguous:
            raise
        except NotFound as error:
            return [], {args.id[0]: error}
        return answer["deleted"], {id: NotFound(f"no memory has the id {id!r}") for id in answer["missing"]}
    deleted: list[str] = []
    results = args.daemon.batch([{"op": "delete", "id": id} for id in args.id])
    for id, result in zip(args.id, results, strict=True):
        if result["status"] < 400:
            deleted += result["deleted"]
        else:
            missing[id] = from_problem(result["problem"])
    return deleted, missing


def _purge(args: Args) -> int:
    from jmem.cli.editor import kept_files

    out = args.out
    found: list[tuple[str, str]] = []
    missing: dict[str, JmemError] = {}
    for id in args.id:
        try:
            history = args.daemon.history(id)  # of deleted ones too
        except Ambiguous:
            raise
        except NotFound as error:
            missing[id] = error
            continue
        found.append((history["id"], history["revisions"][-1]["content"] or ""))
    if missing and not found:
        return _all_missing(args, missing)
    if out.human and not args.yes:
        for id, content in found:
            out.line(out.paint("id", id[-6:]) + "  " + cut(one_line(" ".join(content.split())), out.columns - 8))
    count = "this memory" if len(found) == 1 else f"these {len(found)} memories"
    if found and not confirmed(out, f"Forget {count} for ever", args.yes):
        return OK
    purged = [entry for id, _ in found for entry in args.daemon.purge(id)["purged"]]
    if out.json:
        out.document({"purged": purged, "missing": list(missing)})
    else:
        for entry in purged:
            _receipt(args, entry)
    for entry in purged:
        for path in kept_files(entry["id"]):
            out.warn(f"a text of it is in {path}, where your editor left it: delete that yourself")
    return _missing(args, missing)


def _receipt(args: Args, entry: dict[str, Any]) -> None:
    out = args.out
    lines = entry["receipt"]
    if not out.human:
        for line in lines:
            out.row(entry["id"], line["place"], line["result"], line["at"])
        return
    when = f"  {local_time(max(line['at'] for line in lines))}" if lines else ""
    out.line(out.paint("id", entry["id"]) + out.paint("dim", when))
    first = min(max((len(line["place"]) for line in lines), default=0), 24)
    for line in lines:
        start, *more = wrap(one_line(line["result"]), max(out.columns - first - 4, 20))
        out.line(f"  {line['place']:<{first}}  {start}")
        for rest in more:
            out.line(" " * (first + 4) + rest)


def _all_missing(args: Args, missing: dict[str, JmemError]) -> int:
    """Nothing was found: the error of one word, or one that names them all."""
    errors = list(missing.values())
    if args.out.json and len(errors) > 1:
        raise NotFound(f"no memory has one of these {len(errors)} ids", fix="jmem list", missing=list(missing))
    for error in errors:
        args.out.error(error)
    return errors[0].exit_code if len(errors) == 1 else NOT_FOUND


def _missing(args: Args, missing: dict[str, JmemError]) -> int:
    if not args.out.json:
        for error in missing.values():
            args.out.error(error)
    return NOT_FOUND if missing else OK

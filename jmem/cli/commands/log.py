"""`jmem log`."""

from __future__ import annotations

from jmem.cli.render import AGE_COLUMNS, ago
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import age, cut, one_line, pad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from jmem.cli.args import Args

    Document = dict[str, Any]

COMMAND = Command(
    "log",
    "Show what was done: all actions, or the revisions of one memory.",
    run="jmem.cli.commands.log:run",
    help="In a pipe: tab-separated columns. Actions: action, time, kind, client, ids, undone, preview. Revisions:\n"
    "rev, time, kind, client, changed fields, text. Accesses: time, client, what, query, ids.",
    params=(
        Argument("id", "The memory whose revisions to show.", required=False, metavar="ID"),
        Option("--access", help="Who read what instead.", kind="flag"),
        Option("--limit", "-n", help="How many at most.", kind="int", default=20, low=1, high=1000),
        Option("--cursor", help="Go on where an earlier page ended.", metavar="C"),
        Option("--client", "-c", help="Only from this program.", metavar="NAME"),
        Option("--since", help="Not before this time.", metavar="WHEN"),
    ),
    examples=(
        ("jmem log", ""),
        ("jmem log 789abc", "the revisions that `jmem diff` and `jmem restore --rev` name"),
        ("jmem log --access --client claude", "what Claude looked up"),
    ),
    lines=True,
)


def run(args: Args) -> int:
    """Show accesses, revisions or actions."""
    if args.access:
        return _accesses(args)
    return _revisions(args) if args.id else _actions(args)


def _emit(args: Args, document: Document, rows: Sequence[Document]) -> bool:
    """Print JSON where it is asked for; whether it was."""
    out = args.out
    if out.lines:
        for row in rows:
            out.document(row)
    elif out.json:
        out.document(document)
    return out.json


def _actions(args: Args) -> int:
    query = {"limit": args.limit, "cursor": args.cursor, "client": args.client, "since": args.since}
    page = args.daemon.log(query)
    if _emit(args, page, page["actions"]):
        return 0
    out = args.out
    for action in page["actions"]:
        if not out.human:
            out.row(action["action"], action["at"], action["kind"], action["client"], ",".join(action["ids"]),
                    "undone" if action["undone"] else "", action["preview"])  # fmt: skip
            continue
        ids = action["ids"]
        what = ids[0][-6:] if len(ids) == 1 else f"{len(ids)}"
        head = f"{age(action['at']).rjust(AGE_COLUMNS)}  {pad(action['kind'], 8)}  {pad(one_line(action['client']), 12)}  {pad(what, 6)}  "
        preview = cut(one_line(" ".join((action["preview"] or "").split())), max(out.columns - len(head), 8))
        out.line(out.paint("dim", head + preview + "  undone") if action["undone"] else head + preview)
    if not page["actions"]:
        out.note("nothing was done yet")
    if page["next_cursor"]:
        out.note(f"there are more: --cursor {page['next_cursor']}")
    return 0


def _revisions(args: Args) -> int:
    history = args.daemon.history(args.id)
    if _emit(args, history, history["revisions"]):
        return 0
    out = args.out
    for revision in history["revisions"][-args.limit :]:
        fields = ",".join(revision["set"])
        text = revision["content"] or ""
        if not out.human:
            out.row(revision["rev"], revision["at"], revision["kind"], revision["client"], fields, text)
            continue
        mark = "●" if revision["stamp"] in history["heads"] else " "
        head = f"{mark} {revision['rev']:>3}  {age(revision['at']).rjust(AGE_COLUMNS)}  {pad(revision['kind'], 8)}  {pad(one_line(revision['client']), 12)}  "
        shown = text if "content" in revision["set"] else _changes(revision["set"])
        out.line(head + cut(one_line(" ".join(shown.split())), max(out.columns - len(head), 8)))
    return 0


def _changes(fields: Document) -> str:
    return ", ".join(
        f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in fields.items()
    )


def _accesses(args: Args) -> int:
    document = args.daemon.accesses({"limit": args.limit, "client": args.client}, args.id)
    if _emit(args, document, document["accesses"]):
        return 0
    out = args.out
    for access in document["accesses"]:
        ids = access.get("ids") or []
        cells = (access["at"], access["client"], access.get("kind", ""), access.get("query") or "", ",".join(ids))
        if not out.human:
            out.row(*cells)
            continue
        head = (
            f"{pad(ago(access['at']), 9)}  {pad(one_line(access['client']), 12)}  {pad(one_line(str(cells[2])), 7)}  "
        )
        found = f"  {len(ids)} found"
        out.line(
            head + cut(one_line(str(cells[3])), max(out.columns - len(head) - len(found), 8)) + out.paint("dim", found)
        )
    return 0

"""`jmem log`."""

from __future__ import annotations

from jmem.cli.render import AGE_COLUMNS, GAP, ago, said_of, some_ids
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import age, cut, one_line, pad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

COMMAND = Command(
    "log",
    "Show what was done: all actions, or the revisions of one memory.",
    run="jmem.cli.commands.log:run",
    help="In a pipe: tab-separated columns. Actions: action, time, kind, client, ids (how many, beyond 5), undone, preview. Revisions:\n"
    "rev, time, kind, client, changed fields, text. Accesses: time, client, what, query, ids, refused (the error's code).",
    params=(
        Argument("id", "The memory whose revisions to show.", required=False, metavar="ID", complete="ids"),
        Option("--access", help="Who read what instead.", kind="flag"),
        Option("--limit", "-n", help="How many at most.", kind="int", default=20, low=1, high=1000),
        Option("--cursor", help="Go on where an earlier page ended.", metavar="C"),
        Option("--client", "-c", help="Only from this program.", metavar="NAME", complete="clients"),
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
    for action in page["actions"]:
        _action(args.out, action)
    if not page["actions"]:
        args.out.note("nothing was done yet")
    if page["next_cursor"]:
        args.out.note(f"there are more: --cursor {page['next_cursor']}")
    return 0


def _action(out: Output, action: Document) -> None:
    ids = action["ids"]
    if not out.human:
        undone = "undone" if action["undone"] else ""
        out.row(
            action["action"],
            action["at"],
            action["kind"],
            action["client"],
            some_ids(ids, action["count"]),
            undone,
            action["preview"],
        )
        return
    what = ids[0][-6:] if action["count"] == 1 else f"{action['count']:,}"
    head = (
        GAP.join((age(action["at"]).rjust(AGE_COLUMNS), pad(action["kind"], 8), pad(one_line(action["client"]), 12)))
        + GAP
    )
    done = "undone: " if action["undone"] else ""
    room = max(out.columns - len(head) - len(pad(what, 6)) - len(GAP), 8)
    preview = cut(done + one_line(" ".join((action["preview"] or "").split())), room)
    out.line(
        out.paint("dim", head) + out.paint("id", pad(what, 6)) + GAP + (out.paint("dim", preview) if done else preview)
    )


def _revisions(args: Args) -> int:
    history = args.daemon.history(args.id)
    if _emit(args, history, history["revisions"]):
        return 0
    revisions = history["revisions"]
    for revision in revisions[-args.limit :]:
        _revision(args.out, revision, revision["stamp"] in history["heads"])
    if len(revisions) > args.limit:
        args.out.note(f"there are {len(revisions) - args.limit} older ones: -n {len(revisions)}")
    return 0


def _revision(out: Output, revision: Document, live: bool) -> None:
    text = revision["content"] or ""
    if not out.human:
        fields = ",".join(revision["set"])
        out.row(revision["rev"], revision["at"], revision["kind"], revision["client"], fields, text)
        return
    head = f"{'●' if live else ' '} {revision['rev']:>3}{GAP}"
    about = GAP.join(
        (age(revision["at"]).rjust(AGE_COLUMNS), pad(revision["kind"], 8), pad(one_line(revision["client"]), 12))
    )
    shown = text if "content" in revision["set"] else _changes(revision["set"])
    room = max(out.columns - len(head) - len(about) - len(GAP), 8)
    out.line(out.paint("good", head) + out.paint("dim", about) + GAP + cut(one_line(" ".join(shown.split())), room))


def _changes(fields: Document) -> str:
    """`tags work old, source notes.md`."""
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in fields.items()
    )


def _accesses(args: Args) -> int:
    document = args.daemon.accesses({"limit": args.limit, "client": args.client}, args.id)
    if _emit(args, document, document["accesses"]):
        return 0
    out = args.out
    for access in document["accesses"]:
        ids = [answer["id"] for answer in access["answers"]]
        query = access["query"] or ""
        if not out.human:
            out.row(
                access["at"], access["client"], access["what"], query, ",".join(ids), access["detail"].get("refused")
            )
            continue
        cells = pad(ago(access["at"]), 9), pad(one_line(access["client"]), 12), pad(access["what"], 8)
        head = GAP.join(cells) + GAP
        found = f"{GAP}{len(ids)} found" if ids else ""
        if said := said_of(access["detail"]):
            query = f"{query} ({said})" if query else said
        out.line(head + cut(one_line(query), max(out.columns - len(head) - len(found), 8)) + out.paint("dim", found))
    if not document["accesses"]:
        out.note("nobody read anything yet")
    return 0

"""`jmem review`, `jmem review approve` and `jmem review reject`."""

from __future__ import annotations

from jmem.cli import render
from jmem.cli.options import CLIENT
from jmem.cli.output import NOT_FOUND, OK
from jmem.cli.spec import Argument, Command, Group, Option
from jmem.core.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

_RUN = "jmem.cli.commands.review:"
_PAGE = 500
_IDS = Argument(
    "id", "Which memories: any unique part of each id.", many=True, required=False, metavar="ID", complete="waiting"
)
_ALL = Option("--all", "-a", help="All that wait.", kind="flag")
_OF = Option("--client", "-c", help="All that this program wrote.", metavar="NAME", complete="clients")

GROUP = Group(
    "review", "Look at what programs wrote that waits for you, and accept or reject it.", default="list"
)  # fmt: skip
COMMANDS = (
    Command(
        "list",
        "List what waits for you, oldest first.",
        group="review",
        run=_RUN + "show",
        help="What a program writes waits here where you said so (`jmem clients set NAME --review`). Nobody finds it until\n"
        "you accept it. In a pipe: id, text, tags, time and program, separated by tabs.",
        params=(
            Option("--limit", "-n", help="How many at most.", kind="int", default=20, low=1, high=1000),
            Option("--all", "-a", help="All of them, page by page.", kind="flag"),
            Option("--cursor", help="Go on where an earlier page ended (its next_cursor).", metavar="C"),
            CLIENT,
        ),
        examples=(
            ("jmem review", ""),
            ("jmem review --client cursor", ""),
            ("jmem review --all --jsonl | jq -r .content", ""),
        ),
        lines=True,
    ),
    Command(
        "approve",
        "Accept what waits: from then on it is found like any other memory.",
        group="review",
        run=_RUN + "approve",
        help="One `jmem undo` puts all of it back to wait.",
        params=(_IDS, _ALL, _OF),
        examples=(
            ("jmem review approve 789abc 12def0", ""),
            ("jmem review approve --client cursor", "all that cursor wrote"),
            ("jmem review approve --all", ""),
        ),
    ),
    Command(
        "reject",
        "Delete what waits.",
        group="review",
        run=_RUN + "reject",
        help="One `jmem undo` brings all of it back to wait. `jmem rm ID --purge` forgets for ever.",
        params=(_IDS, _ALL, _OF),
        examples=(("jmem review reject 789abc", ""), ("jmem review reject --client cursor", "all that cursor wrote")),
    ),
)


def show(args: Args) -> int:
    """Show one page, or all pages as they arrive."""
    out = args.out
    query: dict[str, Any] = {
        "state": "review", "client": args.client, "sort": "created", "cursor": args.cursor,
        "limit": _PAGE if args.all else args.limit,
    }  # fmt: skip
    pages = args.daemon.pages(query) if args.all else iter([args.daemon.page(query)])
    if out.json and not out.lines:
        found = list(pages)
        memories = [memory for page in found for memory in page["memories"]]
        out.document({"memories": memories, "next_cursor": None if args.all else found[0]["next_cursor"]})
        return OK
    count, more = 0, None
    for page in pages:
        _rows(args, page["memories"])
        out.flush()
        count += len(page["memories"])
        more = page["next_cursor"]
    if out.lines:
        return OK
    if not count:
        out.note("nothing waits for you")
    elif more and not args.all:
        out.note("there are more: --all" if out.human else f"there are more: --all, or --cursor {more}")
    elif out.human:
        out.note("accept them: jmem review approve ID… or --all; else: jmem review reject ID…")
    return OK


def _rows(args: Args, memories: list[dict[str, Any]]) -> None:
    out = args.out
    if out.lines:
        for memory in memories:
            out.document(memory)
    elif out.human:
        # every one of them is in this state: no need to say so
        render.results(out, [{**memory, "state": "active"} for memory in memories], "")
    else:
        for memory in memories:
            render.plain_row(out, memory, memory["client"])


def approve(args: Args) -> int:
    """Accept; 5 when one of them was not there or does not wait."""
    return _decide(args, "approve", "accepted")


def reject(args: Args) -> int:
    """Delete; 5 when one of them was not there or does not wait."""
    return _decide(args, "reject", "rejected")


def _decide(args: Args, decision: str, done: str) -> int:
    if [bool(args.id), args.all, args.client is not None].count(True) != 1:
        raise Invalid(
            "name memories, or one program with --client, or say --all", code="usage", fix="jmem review   lists what waits"
        )  # fmt: skip
    which: dict[str, Any] = (
        {"ids": list(args.id)} if args.id else {"client": args.client} if args.client else {"all": True}
    )
    answer = args.daemon.request("POST", "/review", {"decision": decision, **which})
    out, count = args.out, answer["count"]
    if out.json:
        out.document(answer)
    else:
        for id in answer["ids"]:
            out.line(id)
        if count:
            out.note(f"{done} {count:,}; `jmem undo` lets {'it' if count == 1 else 'them'} wait again")
        else:
            out.note("nothing waits" + (f" of {args.client}" if args.client else ""))
        for skipped in answer["skipped"]:
            out.error(NotFound(skipped["reason"], code=skipped["code"], fix=skipped.get("fix")))
    return NOT_FOUND if answer["skipped"] else OK

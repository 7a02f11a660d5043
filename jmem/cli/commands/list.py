"""`jmem list`."""

from __future__ import annotations

from jmem.cli import remarks, render
from jmem.cli.options import AS_OF, FILTERS, filter_query
from jmem.cli.spec import Command, Option
from jmem.cli.text import local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

SORTS = ("-created", "created", "-updated", "updated", "-occurred", "occurred")
PAGE = 500

COMMAND = Command(
    "list",
    "List memories, newest first.",
    run="jmem.cli.commands.list:run",
    help="In a pipe: id, text, tags and time, separated by tabs.",
    params=(
        Option("--limit", "-n", help="How many at most.", kind="int", default=20, low=1, high=1000),
        Option("--all", "-a", help="All of them, page by page.", kind="flag"),
        Option("--cursor", help="Go on where an earlier page ended (its next_cursor).", metavar="C"),
        Option("--sort", help="created, updated or occurred; with a minus sign the newest comes first.", choices=SORTS, default="-created"),
        *FILTERS,
        Option("--deleted", help="Only what was deleted.", kind="flag"),
        Option("--expired", help="Only what has expired.", kind="flag"),
        AS_OF,
    ),
    examples=(
        ("jmem list", ""),
        ("jmem list --tag work --since 2026-11-01 --all", ""),
        ("jmem list --deleted", "what `jmem restore ID` can bring back"),
        ("jmem list --as-of yesterday", "the list as it stood at the end of yesterday"),
        ("jmem list --all --jsonl | jq -r .content", ""),
    ),
    lines=True,
)  # fmt: skip


def run(args: Args) -> int:
    """Show one page, or all pages as they arrive."""
    out = args.out
    query = {
        **filter_query(args), "deleted": args.deleted, "expired": args.expired, "as_of": args.as_of, "sort": args.sort,
        "limit": PAGE if args.all else args.limit, "cursor": args.cursor,
    }  # fmt: skip
    if args.all:
        return _all(args, query)
    page = args.daemon.page(query)
    remarks.loss(out, page)
    if out.json and not out.lines:
        out.document(page)
        return 0
    _show(args, page["memories"])
    if page.get("as_of"):
        out.note(f"as of {local_time(page['as_of'])}")
    if not page["memories"]:
        out.note("nothing is deleted" if args.deleted else "nothing has expired" if args.expired else "no memories")
    if page["next_cursor"]:
        out.note(
            "there are more: --all"
            if out.human or out.stderr_tty
            else f"there are more: --all, or --cursor {page['next_cursor']}"
        )
    return 0


def _all(args: Args, query: dict[str, Any]) -> int:
    out = args.out
    if out.json and not out.lines:
        memories = [memory for page in args.daemon.pages(query) for memory in page["memories"]]
        out.document({"memories": memories, "next_cursor": None})
        return 0
    for number, page in enumerate(args.daemon.pages(query)):
        if number == 0:
            remarks.loss(out, page)
        _show(args, page["memories"])
        out.flush()
    return 0


def _show(args: Args, memories: list[dict[str, Any]]) -> None:
    if args.out.lines:
        for memory in memories:
            args.out.document(memory)
    else:
        render.table(args.out, memories, args.sort.removeprefix("-"))

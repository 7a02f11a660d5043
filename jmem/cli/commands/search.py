"""`jmem search`."""

from __future__ import annotations

from jmem.cli import remarks, render, stdin
from jmem.cli.options import AS_OF, FILTERS, filter_request
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "search",
    "Find memories by what they mean and by their words.",
    run="jmem.cli.commands.search:run",
    help="Answers with the best hits, always; it says so when nothing seems to be about the question.\n"
    "In a pipe: id, text, tags and time, separated by tabs; then the score, where it is asked for, and with --explain\n"
    "the rank and score by words and the rank and score by meaning.",
    params=(
        Argument("query", "What to look for; '-' reads stdin.", many=True, required=False, metavar="QUERY"),
        Option("--limit", "-n", help="How many hits at most.", kind="int", default=10, low=1, high=1000),
        *FILTERS,
        AS_OF,
        Option("--mode", help="hybrid, text (words only) or vector (meaning only).", choices=("hybrid", "text", "vector"), default="hybrid"),
        Option("--score", help="Show how well each one fits.", kind="flag"),
        Option("--explain", help="Show what each part of the search said of each hit.", kind="flag"),
        Option("--no-fold", help="Show equal texts one by one.", kind="flag"),
    ),
    examples=(
        ('jmem search "which seat should I book"', ""),
        ('jmem search invoices --tag work --since "last month" -n 5', ""),
        ('jmem search "where do I live" --as-of "last month"', "what was known then"),
        ('jmem search "seat on a plane" --json | jq -r .results[0].content', ""),
    ),
    lines=True,
)  # fmt: skip


def run(args: Args) -> int:
    """Ask, and show the hits."""
    query = _query(args)
    answer = args.daemon.search(_request(args, query))
    out, hits = args.out, answer["results"]
    remarks.loss(out, answer)
    if not out.json:
        _remarks(args, answer)
    if out.lines:
        for hit in hits:
            out.document(hit)
    elif out.json:
        out.document(answer)
    elif out.human:
        render.results(out, hits, query, score=args.score or args.explain)
    else:
        for hit in hits:
            more = [hit["score"]] if args.score or args.explain else []
            render.plain_row(out, hit, *more, *(render.explain_cells(hit["explain"]) if hit.get("explain") else []))
    return 0


def _query(args: Args) -> str:
    words = args.query
    if words and words != ("-",):
        return " ".join(words)
    if not words and stdin.is_terminal():
        from jmem.core.errors import Invalid

        raise Invalid("there is no question", code="usage", fix='jmem search "what to look for"')
    return stdin.read_text()


def _request(args: Args, query: str) -> dict[str, Any]:
    request: dict[str, Any] = {"query": query, "limit": args.limit, **filter_request(args)}
    if args.mode != "hybrid":
        request["mode"] = args.mode
    if args.explain:
        request["explain"] = True
    if args.no_fold:
        request["fold"] = False
    return request


def _remarks(args: Args, answer: dict[str, Any]) -> None:
    out = args.out
    if answer.get("as_of"):
        out.note(f"as of {local_time(answer['as_of'])}")
    if not answer["results"]:
        out.note("nothing found")
    elif not answer["confident"]:
        out.note("none of these seems to be about it")
    if answer.get("degraded"):
        out.warn(str(answer["degraded"]))
    if answer.get("truncated"):
        out.note("there was more than one answer holds; ask for fewer with -n")

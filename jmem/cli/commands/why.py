"""`jmem why`."""

from __future__ import annotations

from jmem.cli.render import GAP, ago
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import cut, one_line, short_ids, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

READS = ("search", "list", "get")
"""What gives a program memories."""
SHOWN = 10
"""Memories shown of one answer."""
TEXT_LINES = 2

COMMAND = Command(
    "why",
    "Show what programs were told: question, answer, and why each memory was in it.",
    run="jmem.cli.commands.why:run",
    help="The newest answers first, each memory with its rank, its score from 0 to 1, and its place and score among those\n"
    "found by words (bm25) and by meaning (cosine). The texts are those of that moment.\n"
    "In a pipe: time, client, what, query, rank, id, score, rank and score by words, rank and score by meaning, text.",
    params=(
        Argument("client", "Only what this program was told.", required=False, metavar="PROGRAM", complete="clients"),
        Option("--count", "-n", help="How many answers.", kind="int", default=5, low=1, high=1000),
        Option("--memory", "-m", help="Only the answers that held this memory.", metavar="ID", complete="ids"),
    ),
    examples=(
        ("jmem why", "the last answers"),
        ("jmem why claude", "what Claude was told, and why"),
        ("jmem why cursor --memory 789abc", "how this memory came to Cursor"),
    ),
    lines=True,
)


def run(args: Args) -> int:
    """Show the answers."""
    out = args.out
    query = {"limit": args.count, "client": args.client, "what": READS, "content": True}
    document = args.daemon.accesses(query, args.memory)
    accesses = document["accesses"]
    if out.lines:
        for access in accesses:
            out.document(access)
    elif out.json:
        out.document(document)
    elif out.human:
        _show(out, accesses)
    else:
        for access in accesses:
            _rows(out, access)
    if not accesses and not out.json:
        out.note(f"{one_line(args.client)} was told nothing yet" if args.client else "nobody was told anything yet")
    return 0


def _rows(out: Output, access: Document) -> None:
    head = access["at"], access["client"], access["what"], access["query"]
    for answer in access["answers"]:
        legs = answer["legs"] or {}
        places = [(legs.get(leg) or {}).get(name) for leg in ("text", "vector") for name in ("rank", "score")]
        out.row(*head, answer["rank"], answer["id"], answer["score"], *places, answer["content"])
    if not access["answers"]:
        out.row(*head, *[None] * 8)


def _show(out: Output, accesses: list[Document]) -> None:
    short = short_ids(answer["id"] for access in accesses for answer in access["answers"])
    for number, access in enumerate(accesses):
        if number:
            out.line()
        _access(out, access, short)


def _access(out: Output, access: Document, short: dict[str, str]) -> None:
    answers = access["answers"]
    head = f"{one_line(access['client'])}{GAP}{access['what']}{GAP}{ago(access['at'])}"
    query = one_line(" ".join((access["query"] or "").split()))
    shown = cut(query, max(out.columns - len(head) - len(GAP), 8)) if query else ""
    out.line(out.paint("dim", head) + (GAP + out.paint("bold", shown) if shown else ""))
    if access["detail"].get("confident") is False and answers:
        out.line(GAP + out.paint("dim", "probably nothing is known about this; the nearest:"))
    for answer in answers[:SHOWN]:
        _answer(out, answer, short[answer["id"]])
    total = int(access["detail"].get("count", len(answers)))
    if not answers:
        out.line(GAP + out.paint("dim", "no memory"))
    elif total > SHOWN and len(answers) > SHOWN:
        out.line(GAP + out.paint("dim", f"and {total - SHOWN:,} more"))


def _answer(out: Output, answer: Document, id: str) -> None:
    rank = f"{answer['rank']:>3}"
    score = "" if answer["score"] is None else f"{answer['score']:.2f}" + GAP
    indent = " " * (len(rank) + len(GAP) + len(id) + len(GAP) + len(score))
    text = answer["content"]
    lines = wrap(one_line(" ".join(text.split())), max(out.columns - len(indent), 16), TEXT_LINES) if text else [""]
    lines[0] = lines[0] or "(no longer held)"
    for number, line in enumerate(lines):
        start = indent if number else f"{rank}{GAP}{out.paint('id', id)}{GAP}{score}"
        out.line(start + (out.paint("dim", line) if answer["gone"] else line))
    since = [word for name, word in (("changed", "changed since"), ("gone", "deleted since")) if answer[name] and text]
    reasons = [*why(answer["legs"]), *since]
    if reasons:
        out.line(indent + out.paint("dim", cut(" · ".join(reasons), max(out.columns - len(indent), 16))))


def why(legs: Document | None) -> list[str]:
    """Each leg's place and score in words: `words 1st (7.3)`, `meaning 2nd (0.71)`."""
    if not legs:
        return []
    found = []
    for leg, name, missing in (("text", "words", "no match"), ("vector", "meaning", "not compared")):
        held = legs.get(leg)
        if held is None or held["score"] is None:
            found.append(f"{name}: {missing}")
        else:
            place = ordinal(held["rank"]) if held["rank"] else "further down"
            found.append(f"{name}: {place} ({held['score']:.2f})")
    if legs.get("speaker"):
        found.append("its speaker was asked for")
    if legs.get("superseded_by"):
        found.append(f"superseded by {legs['superseded_by'][-6:]}")
    return found


def ordinal(number: int) -> str:
    """`1st`, `22nd`, `13th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"

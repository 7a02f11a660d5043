"""`jmem conflicts`, `jmem conflicts keep` and `jmem conflicts edit`."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.output import OK
from jmem.cli.spec import Argument, Command, Group, Option
from jmem.cli.text import age, block, pad, short_ids, width, wrap
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

_RUN = "jmem.cli.commands.conflicts:"
_PAGE = 100
_SHOWN = 1_500
"""Characters of a text that are compared for a terminal."""
_NARROW = 60
"""Columns below which two texts stand one below the other."""
_ID = Argument("id", "Which memory: any unique part of its id.", metavar="ID", complete="ids")

GROUP = Group("conflicts", "Settle texts of one memory that were written apart.", default="list")
COMMANDS = (
    Command(
        "list",
        "List memories with texts that were written apart, side by side.",
        group="conflicts",
        run=_RUN + "show",
        help="Two machines changed one text before they had heard of each other: the later one is live and found, the other\n"
        "is kept until you say which holds. In a pipe, a line for each text: id, number, live or kept, when, who, where, text.",
        params=(Option("--of", help="Only the conflict of this memory.", metavar="ID", complete="ids"),),
        examples=(("jmem conflicts", ""), ("jmem conflicts --of 789abc", "")),
        lines=True,
    ),
    Command(
        "keep",
        "Keep one text, or both.",
        group="conflicts",
        run=_RUN + "keep",
        help="It is settled on every machine. `jmem undo` gives the memory the text that was live; every text stays in\n"
        "`jmem log ID`.",
        params=(
            _ID,
            Argument("which", "Which text: its number in the list, or a part of its stamp.", required=False, metavar="WHICH"),
            Option("--both", "-b", help="Make a memory of its own from each other text.", kind="flag"),
        ),
        examples=(
            ("jmem conflicts keep 789abc 1", "the live one"),
            ("jmem conflicts keep 789abc 2", "the one that was kept"),
            ("jmem conflicts keep 789abc --both", "two memories"),
        ),
    ),
    Command(
        "edit",
        "Write one text in the place of all.",
        group="conflicts",
        run=_RUN + "edit",
        params=(_ID, Option("--text", help="What it says then; '-' reads stdin. Without it, $VISUAL or $EDITOR opens.", metavar="TEXT")),
        examples=(("jmem conflicts edit 789abc", ""), ('jmem conflicts edit 789abc --text "Deploys run on Tuesdays"', "")),
    ),
)  # fmt: skip


def show(args: Args) -> int:
    """List them."""
    out = args.out
    shown: list[Document] = []
    count = 0
    for count, conflict in enumerate(_all(args), 1):
        if out.json and not out.lines:
            shown.append(conflict)
        elif out.lines:
            out.document(conflict)
        elif out.human:
            _show_conflict(out, conflict, first=count == 1)
        else:
            for number, one in enumerate(conflict["versions"], 1):
                live = "live" if one["live"] else "kept"
                out.row(conflict["memory"]["id"], number, live, one["at"], one["client"], one["where"], one["content"])
    if out.json and not out.lines:
        out.document({"conflicts": shown})
    elif not count:
        out.note("no text was written apart")
    elif out.human:
        out.note(
            "keep one: jmem conflicts keep ID 1; both: jmem conflicts keep ID --both; write one: jmem conflicts edit ID"
        )
    return OK


def _all(args: Args) -> Iterator[Document]:
    query: Document = {"limit": _PAGE, "id": args.of}
    while True:
        page = args.daemon.conflicts(query)
        yield from page["conflicts"]
        if not page["next_cursor"]:
            return
        query["cursor"] = page["next_cursor"]


def _show_conflict(out: Output, conflict: Document, *, first: bool) -> None:
    """The id, then each kept text beside the live one, what differs marked."""
    from jmem.cli.commands.diff import word_changes

    if not first:
        out.line()
    id = conflict["memory"]["id"]
    live, *others = conflict["versions"]
    out.line(out.paint("id", short_ids((id,))[id]) + out.paint("dim", f"  {1 + len(others)} texts"))
    for number, other in enumerate(others, 2):
        texts = [" ".join(block(one["content"])[:_SHOWN].split()) for one in (live, other)]
        marks = word_changes(*texts)
        changed = [{word for apart, piece in pieces if apart for word in piece.split()} for pieces in marks]
        heads = [f"{n} {word} · {one['client']} · {age(one['at'])}"
                 for n, word, one in ((1, "live", live), (number, "kept", other))]  # fmt: skip
        places = [one["where"] for one in (live, other)]
        if out.columns < _NARROW:
            for head, where, text, words in zip(heads, places, texts, changed, strict=True):
                out.line("  " + out.paint("bold", head) + (out.paint("dim", f" · {where}") if where else ""))
                for line in wrap(text, max(out.columns - 4, 20)):
                    out.line("    " + _marked(out, line, words))
            continue
        room = (out.columns - 7) // 2
        out.line("  " + out.paint("bold", pad(heads[0], room)) + " │ " + out.paint("bold", heads[1]))
        if any(places):
            out.line("  " + out.paint("dim", pad(places[0], room)) + " │ " + out.paint("dim", places[1]))
        left, right = wrap(texts[0], room), wrap(texts[1], room)
        for n in range(max(len(left), len(right))):
            a, b = (side[n] if n < len(side) else "" for side in (left, right))
            fill = " " * max(room - width(a), 0)
            out.line("  " + _marked(out, a, changed[0]) + fill + " │ " + _marked(out, b, changed[1]))


def _marked(out: Output, line: str, words: set[str]) -> str:
    return " ".join(out.paint("match", word) if word in words else word for word in line.split(" "))


def keep(args: Args) -> int:
    """Keep one, or both."""
    if not args.both and args.which is None:
        raise Invalid(
            "say which text stays: its number in the list", code="usage", fix=f"jmem conflicts --of {args.id}"
        )
    request: Document = {"how": "both" if args.both else "keep", "version": args.which or ""}
    return _told(args, args.daemon.settle(args.id, request))


def edit(args: Args) -> int:
    """Write one."""
    if args.text is not None:
        content = stdin.read_text() if args.text == "-" else args.text
        return _told(args, args.daemon.settle(args.id, {"how": "text", "content": content}))
    import os

    from jmem.cli.editor import edit_text
    from jmem.core.errors import JmemError

    (conflict,) = args.daemon.conflicts({"id": args.id})["conflicts"]
    id, versions = conflict["memory"]["id"], conflict["versions"]
    path, text = edit_text(args.environ, "\n\n".join(one["content"] for one in versions), name=f"jmem-{id[-6:]}-")
    if not text.strip():
        os.unlink(path)
        args.out.note("nothing changed")
        return OK
    try:
        settled = args.daemon.settle(id, {"how": "text", "content": text, "stamps": [one["stamp"] for one in versions]})
    except JmemError as error:
        error.fix = f"your text is in {path}"
        raise
    os.unlink(path)
    return _told(args, settled)


def _told(args: Args, settled: Document) -> int:
    if args.out.json:
        args.out.document(settled)
        return OK
    from jmem.cli.commands.edit import show_changed

    show_changed(args, settled["memory"])
    for other in settled["others"]:
        show_changed(args, other)
    args.out.note("settled; `jmem undo` takes it back")
    return OK

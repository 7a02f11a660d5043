"""`jmem duplicates`, `jmem duplicates merge` and `jmem duplicates distinct`."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.output import OK
from jmem.cli.spec import Argument, Command, Group, Option
from jmem.cli.text import age, block, short_ids, width, wrap
from jmem.core.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

_RUN = "jmem.cli.commands.duplicates:"
_PAGE = 200
_TWO = (
    Argument("a", "One of the two: any unique part of its id.", metavar="A", complete="ids"),
    Argument("b", "The other one.", metavar="B", complete="ids"),
)

GROUP = Group("duplicates", "Find memories that say nearly the same, and make one of two.", default="list")
COMMANDS = (
    Command(
        "list",
        "List pairs of memories that say nearly the same, the newest first.",
        group="duplicates",
        run=_RUN + "show",
        help="Compared is what they mean; in other words is near too. In a pipe:\n"
        "score, id and text of the newer one, id and text of the older one, separated by tabs.",
        params=(
            Option("--of", help="Only what is near to this memory.", metavar="ID", complete="ids"),
            Option("--limit", "-n", help="How many pairs at most.", kind="int", default=20, low=1, high=1000),
            Option("--all", "-a", help="All of them, as they are found.", kind="flag"),
            Option("--least", help="How near they are at least, 0.5 to 1.", metavar="SCORE", default="0.9"),
        ),
        examples=(
            ("jmem duplicates", ""),
            ("jmem duplicates --least 0.85 --all", "more, and more that are none"),
            ("jmem duplicates --of 789abc", "what is near to one memory"),
        ),
        lines=True,
    ),
    Command(
        "merge",
        "Make one memory of two.",
        group="duplicates",
        run=_RUN + "merge",
        help="A stays, unless --keep says otherwise, with the tags and metadata of both. The other one is deleted and noted as\n"
        "what it supersedes. One `jmem undo` takes all of it back.",
        params=(
            *_TWO,
            Option("--keep", "-k", help="Which of them stays.", metavar="ID"),
            Option("--text", help="What it says then; '-' reads stdin.", metavar="TEXT"),
            Option("--edit", "-e", help="Open both texts in $VISUAL or $EDITOR.", kind="flag"),
        ),
        examples=(
            ("jmem duplicates merge 789abc 12def0", ""),
            ("jmem duplicates merge 789abc 12def0 --edit", "write one text from both"),
            ('jmem duplicates merge 789abc 12def0 --text "Deploys run on Tuesdays"', ""),
        ),
    ),
    Command(
        "distinct",
        "Note that two memories are no duplicates: they are not listed as a pair any more.",
        group="duplicates",
        run=_RUN + "distinct",
        help="Until the text of one of them changes. The note stays on this machine.",
        params=(*_TWO, Option("--again", help="List them again.", kind="flag")),
        examples=(("jmem duplicates distinct 789abc 12def0", ""),),
    ),
)


def show(args: Args) -> int:
    """List pairs as they are found."""
    out, least = args.out, _score(args.least)
    limit = None if args.all else args.limit
    found = _near_one(args, least) if args.of else _pairs(args, least, limit)
    shown: list[Document] = []
    count = 0
    for pair in found:
        count += 1
        if out.json and not out.lines:
            shown.append(pair)
        elif out.lines:
            out.document(pair)
        elif out.human:
            _show_pair(out, pair, first=count == 1)
        else:
            out.row(pair["score"], pair["a"]["id"], pair["a"]["content"], pair["b"]["id"], pair["b"]["content"])
        out.flush()
        if count == limit:
            break
    if out.json and not out.lines:
        out.document({"pairs": shown})
    elif not count:
        out.note("nothing is near to it" if args.of else "no two memories say nearly the same")
    elif out.human:
        out.note("make one of two: jmem duplicates merge A B; they are not the same: jmem duplicates distinct A B")
    return OK


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 1:
        raise Invalid(
            f"--least is a number from 0.5 to 1, not {text!r}", code="usage", fix="jmem duplicates --least 0.85"
        )
    return value


def _near_one(args: Args, least: float) -> Iterator[Document]:
    memory = args.daemon.get(args.of)
    for near in args.daemon.similar(memory["id"], limit=1000 if args.all else args.limit, least=least):
        other = near.pop("memory")
        yield {**near, "a": memory, "b": other}


def _pairs(args: Args, least: float, limit: int | None) -> Iterator[Document]:
    """Every pair, step by step."""
    from jmem.cli.progress import Progress

    query: Document = {"least": least, "limit": min(limit or _PAGE, _PAGE)}
    with Progress(args.out, "looked at") as progress:
        while True:
            page = args.daemon.duplicates(query)
            progress.expect(page["total"])
            if page["pairs"]:
                progress.close()
            yield from page["pairs"]
            if not page["next_cursor"]:
                return
            progress.update(page["scanned"])
            query["cursor"] = page["next_cursor"]


def _show_pair(out: Output, pair: Document, *, first: bool) -> None:
    """How near, then the newer and the older text, what differs marked."""
    from jmem.cli.commands.diff import word_changes

    if not first:
        out.line()
    newer, older = pair["a"], pair["b"]
    short = short_ids((newer["id"], older["id"]))
    words = f"{pair['same_words']:.0%} of the words are the same"
    how = "near by meaning" if pair["by"] == "meaning" else "near by words"
    out.line(out.paint("bold", f"{pair['score']:.2f}") + out.paint("dim", f"  {how} · {words}"))
    texts = [" ".join(block(memory["content"])[:_SHOWN].split()) for memory in (newer, older)]
    marks = word_changes(texts[1], texts[0])[::-1]
    for memory, text, pieces in zip((newer, older), texts, marks, strict=True):
        differing = {word for changed, piece in pieces if changed for word in piece.split()}
        id = short[memory["id"]]
        room = max(out.columns - len(id) - 8, 20)
        for number, line in enumerate(wrap(text, room, 4)):
            start = " " * len(id) if number else out.paint("id", id)
            when = "" if number else out.paint("dim", age(memory["created_at"]).rjust(5))
            painted = " ".join(out.paint("match", w) if w in differing else w for w in line.split(" "))
            fill = " " * max(room - width(line), 0)
            out.line(f"{start}  {painted}{fill}{when}")


_SHOWN = 1_500
"""Characters of a text that are compared for a terminal."""


def merge(args: Args) -> int:
    """Make one of two."""
    if args.text is not None and args.edit:
        raise Invalid("--text and --edit don't go together", code="usage", fix="jmem duplicates merge --help")
    first, second = args.daemon.get(args.a), args.daemon.get(args.b)
    keep, other = _kept(args, first, second)
    request: Document = {"other": other["id"], "version": keep["version"], "other_version": other["version"]}
    kept_file = None
    if args.text is not None:
        request["content"] = stdin.read_text() if args.text == "-" else args.text
    elif args.edit:
        import os

        from jmem.cli.editor import edit_text

        both = keep["content"] if keep["content"] == other["content"] else f"{keep['content']}\n\n{other['content']}"
        kept_file, text = edit_text(args.environ, both, name=f"jmem-{keep['id'][-6:]}-")
        if not text.strip():
            os.unlink(kept_file)
            args.out.note("nothing changed")
            return OK
        request["content"] = text
    done = _sent(args, keep, request, kept_file)
    if args.out.json:
        args.out.document(done)
    else:
        from jmem.cli.commands.edit import show_changed

        show_changed(args, done["memory"])
        args.out.note(f"{done['deleted'][-6:]} is deleted and in it now; `jmem undo` takes that back")
    return OK


def _kept(args: Args, first: Document, second: Document) -> tuple[Document, Document]:
    if args.keep is None:
        return first, second
    fitting = [m for m in (first, second) if args.keep in m["id"] or args.keep in m["id"].replace("-", "")]
    if len(fitting) != 1:
        raise NotFound(
            f"{args.keep!r} is not one of the two", code="not_found", fix="jmem duplicates merge A B --keep A"
        )
    return (first, second) if fitting[0] is first else (second, first)


def _sent(args: Args, keep: Document, request: Document, kept_file: str | None) -> Document:
    """The answer; a text from the editor is lost only once it is stored."""
    import os

    from jmem.core.errors import JmemError

    try:
        done = args.daemon.merge(keep["id"], request)
    except JmemError as error:
        if kept_file is not None:
            error.fix = f"your text is in {kept_file}"
        raise
    if kept_file is not None:
        os.unlink(kept_file)
    return done


def distinct(args: Args) -> int:
    """Note it, or take the note back."""
    noted = args.daemon.set_distinct(args.a, args.b, distinct=not args.again)
    if args.out.json:
        args.out.document(noted)
    else:
        args.out.note(
            "they are listed again" if args.again else "noted; `jmem duplicates distinct A B --again` lists them again"
        )
    return OK

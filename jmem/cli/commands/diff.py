"""`jmem diff`."""

from __future__ import annotations

from jmem.cli import render
from jmem.cli.options import UNTIL
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.text import block, local_time, one_line, short_ids
from jmem.core.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

_AT_FIRST: dict[str, object] = {"state": "active", "deleted": False, "privacy": "synced"}
"""What a field is while no revision has set it; the others are null."""

COMMAND = Command(
    "diff",
    "Show what changed between two revisions of a memory, or since a time.",
    run="jmem.cli.commands.diff:run",
    help="Without revisions: the last change of the text. With one: what changed since. `jmem log ID` numbers them.\n"
    "With --since: every memory that is not as it was then. In a pipe: id, kind, time, programs and text, with tabs.",
    params=(
        Argument("id", "Which memory: any unique part of its id.", required=False, metavar="ID", complete="ids"),
        Argument("old", "The older revision.", kind="int", required=False, low=1, metavar="REV"),
        Argument("new", "The newer revision.", kind="int", required=False, low=1, metavar="REV"),
        Option("--since", help="All that changed since this time: yesterday, '2 hours ago', 2026-11-22.", metavar="WHEN"),
        UNTIL,
        Option("--client", "-c", help="With --since: only what this program changed.", metavar="NAME", complete="clients"),
        Option("--limit", "-n", help="With --since: how many memories at most.", kind="int", low=1, high=1000),
        Option("--cursor", help="Go on where an earlier page ended (its next_cursor).", metavar="C"),
    ),
    examples=(
        ("jmem diff 789abc", ""),
        ("jmem diff 789abc 1 3", ""),
        ("jmem diff --since yesterday", "what was added, edited and deleted"),
        ('jmem diff --since "2 hours ago" --client cursor', ""),
    ),
)  # fmt: skip
LIMIT, MOST = 100, 1000


def run(args: Args) -> int:
    """Show the difference of two states."""
    if args.since is not None:
        return _since(args)
    for name in ("until", "client", "limit", "cursor"):
        if getattr(args, name) is not None:
            raise Invalid(f"--{name} goes with --since", code="usage", fix="jmem diff --since yesterday")
    if args.id is None:
        raise Invalid("say which memory, or since when", code="usage", fix="jmem diff --since yesterday")
    history = args.daemon.history(args.id)
    states = _states(history["revisions"])
    old, new = _choose(args, states)
    before, after = states.get(old, _AT_FIRST), states[new]
    if args.out.json:
        changes = {
            name: {"old": before.get(name), "new": after.get(name)}
            for name in dict.fromkeys([*before, *after])
            if _differ(before.get(name), after.get(name))
        }
        args.out.document({"id": history["id"], "old": old, "new": new, "changes": changes})
        return 0
    _show(args.out, before, after, old, new)
    return 0


def _since(args: Args) -> int:
    """Show what changed in a span of time."""
    if args.old is not None:
        raise Invalid("revisions go without --since", code="usage", fix="jmem diff ID --since yesterday")
    out = args.out
    query = {name: getattr(args, name) for name in ("id", "since", "until", "client", "cursor")}
    page = args.daemon.changes({**query, "limit": args.limit or LIMIT})
    if out.json:
        out.document(page)
        return 0
    changes = page["changes"]
    short = short_ids(change["id"] for change in changes)
    for number, change in enumerate(changes):
        if not out.human:
            cells = (change["id"], change["kind"], change["at"], ",".join(change["clients"]), change["content"])
            out.row(*cells)
            continue
        if number:
            out.line()
        _show_change(out, change, short[change["id"]])
    if not changes:
        out.note("nothing changed" + ("" if args.client is None else f" by {args.client}"))
    if page["next_cursor"]:
        more = "" if args.limit == MOST else f"-n {MOST}"
        if not out.human or not more:
            more += f"{' or ' if more else ''}--cursor {page['next_cursor']}"
        out.note(f"there are more: {more}")
    return 0


_KINDS = {"added": "good", "restored": "good", "deleted": "bad", "edited": "warn"}


def _show_change(out: Output, change: Document, short: str) -> None:
    """One memory: what became of it, when and by whom; then the lines that differ."""
    when = f"{local_time(change['at'])} ({render.ago(change['at'])})"
    about = out.paint("dim", f"{when} · {one_line(', '.join(change['clients']) or '-')}")
    out.line(f"{out.paint(_KINDS[change['kind']], change['kind'])} {out.paint('id', short)}  {about}")
    before, after = change["before"] or {}, change["after"] or {}
    if change["kind"] == "edited" and "content" not in before:
        for line in block(change["content"]).rstrip("\n").split("\n"):
            out.line(out.paint("dim", "  " + line))
    # who added it and when does not change; what is new has it in the line above
    kept = {name: value for name, value in before.items() if name not in _ONCE}
    _show_fields(out, kept, {name: value for name, value in after.items() if name not in _ONCE})


_ONCE = ("client", "created_at")


def _states(revisions: list[Document]) -> dict[int, Document]:
    """Each revision's number with all fields as they were then."""
    fields = _AT_FIRST
    states = {}
    for revision in revisions:
        fields = {**fields, **revision["set"]}
        states[revision["rev"]] = fields
    return states


def _choose(args: Args, states: dict[int, Document]) -> tuple[int, int]:
    numbers = sorted(states)
    if not numbers:
        raise NotFound(f"{args.id} has no revisions: it was purged")
    for wanted in (args.old, args.new):
        if wanted is not None and wanted not in states:
            raise NotFound(
                f"{args.id} has no revision {wanted}; it has {numbers[0]} to {numbers[-1]}", fix=f"jmem log {args.id}"
            )
    if args.old is not None:
        return args.old, args.new if args.new is not None else numbers[-1]
    for number, following in zip(reversed(numbers[:-1]), reversed(numbers[1:]), strict=True):
        if states[number].get("content") != states[following].get("content"):
            return number, following
    return (numbers[-2], numbers[-1]) if len(numbers) > 1 else (0, numbers[-1])


def _show(out: Output, before: Document, after: Document, old: int, new: int) -> None:
    out.line(out.paint("removed", f"--- {old}"))
    out.line(out.paint("added", f"+++ {new}"))
    _show_fields(out, before, after)


def _show_fields(out: Output, before: Document, after: Document) -> None:
    """The lines of the text and the other fields that differ."""
    for sign, style, pieces in line_changes(before.get("content") or "", after.get("content") or ""):
        text = "".join(
            out.paint(f"{style} word", t) if changed and style else out.paint(style, t) if style else t
            for changed, t in pieces
        )
        out.line((out.paint(style, sign) if style else sign) + " " + text)
    for name in dict.fromkeys([*before, *after]):
        if name != "content" and _differ(before.get(name), after.get(name)):
            if before.get(name) not in (None, [], {}):
                out.line(out.paint("removed", f"- {name}: {_value(before[name])}"))
            if after.get(name) not in (None, [], {}):
                out.line(out.paint("added", f"+ {name}: {_value(after[name])}"))


def _differ(old: object, new: object) -> bool:
    """Whether that is a change: setting nothing where nothing was is none."""
    return old != new and bool(old or new)


Pieces = list[tuple[bool, str]]
"""(changed, text): the parts of one line."""


def line_changes(old: str, new: str) -> list[tuple[str, str, Pieces]]:
    """Lines of a unified view: sign, style and pieces; in a changed line, the changed words are marked."""
    from difflib import SequenceMatcher

    before, after = block(old).split("\n") if old else [], block(new).split("\n") if new else []
    lines: list[tuple[str, str, Pieces]] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [(" ", "", [(False, line)]) for line in before[i1:i2]]
            continue
        pairs = [word_changes(a, b) for a, b in zip(before[i1:i2], after[j1:j2], strict=False)]
        whole = len(pairs)
        lines += [("-", "removed", removed) for removed, _ in pairs]
        lines += [("-", "removed", [(False, line)]) for line in before[i1 + whole : i2]]
        lines += [("+", "added", added) for _, added in pairs]
        lines += [("+", "added", [(False, line)]) for line in after[j1 + whole : j2]]
    return lines


def word_changes(old: str, new: str) -> tuple[Pieces, Pieces]:
    """Two versions of a line in pieces, their differing words marked."""
    from difflib import SequenceMatcher

    a, b = _words(old), _words(new)
    removed: Pieces = []
    added: Pieces = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if i2 > i1:
            removed.append((tag != "equal", "".join(a[i1:i2])))
        if j2 > j1:
            added.append((tag != "equal", "".join(b[j1:j2])))
    return removed, added


def _words(line: str) -> list[str]:
    """Words and the gaps between them, in order."""
    words: list[str] = []
    for character in line:
        if words and character.isalnum() and words[-1][-1].isalnum():
            words[-1] += character
        else:
            words.append(character)
    return words


def _value(value: Any) -> str:
    if isinstance(value, list):
        return one_line(", ".join(map(str, value)))
    return one_line(str(value))

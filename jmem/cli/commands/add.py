"""`jmem add`."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.spec import Argument, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "add",
    "Remember something.",
    run="jmem.cli.commands.add:run",
    help="The text is the words given, or stdin where there are none or a single '-'. An equal memory is not\n"
    "stored twice; memories that resemble it are named. Text with a password or key in it is refused.",
    params=(
        Argument("text", "What to remember; '-' reads stdin.", many=True, required=False, metavar="TEXT"),
        Option("--tag", "-t", help="A tag; repeat for several.", many=True, complete="tags"),
        Option("--lines", help="One memory a line of stdin; prints one id a line.", kind="flag"),
        Option("--local", help="Never let it leave this machine.", kind="flag"),
        Option("--source", help="Where it comes from: a file, a page, a person."),
        Option("--thread", help="The conversation or document that it is part of."),
        Option("--speaker", help="Who said it."),
        Option("--at", help="When it happened: 2026-11-22, yesterday, 'last Friday'.", metavar="WHEN"),
        Option(
            "--expires",
            help="The last day on which it is true, or the moment: 2026-12-31, 'in 2 weeks'.",
            metavar="WHEN",
        ),
        Option("--metadata", "-m", help="key=value or a JSON object; repeat for several.", many=True, metavar="K=V"),
        Option("--supersedes", help="The memory that this one replaces.", metavar="ID"),
        Option("--client", "-c", help="The program that it is stored for.", metavar="NAME", complete="clients"),
        Option("--infer", help="Split it into atomic memories with the model that is set.", kind="flag"),
        Option("--raw", help="Store it as it is, whatever is set.", kind="flag"),
        Option("--mask", help="Store it with its secrets masked.", kind="flag"),
        Option("--allow-secret", help="Store it with its secrets.", kind="flag"),
    ),
    examples=(
        ('jmem add "I prefer aisle seats on long flights" --tag travel', ""),
        ("pbpaste | jmem add --source https://example.org/menu", "from stdin"),
        ("jmem add --lines - < notes.txt", "one memory a line"),
        ('jmem add "The kitchen is being painted" --at yesterday --expires "in 2 weeks"', ""),
    ),
    lines=True,
)


def run(args: Args) -> int:
    """Store one memory, or one a line."""
    fields = _fields(args)
    if args.lines:
        from jmem.cli.add_lines import add_lines

        return add_lines(args, fields)
    fields["content"] = _text(args)
    answer = args.daemon.add(fields)
    if "memories" in answer:
        return _inferred(args, answer)
    _say(args, answer)
    if answer.get("duplicate") and answer.get("differs"):
        from jmem.cli.remarks import not_taken

        not_taken(args.out, answer, fields)
    return 0


def _text(args: Args) -> str:
    words = args.text
    if words and words != ("-",):
        return " ".join(words)
    if not words and stdin.is_terminal():
        from jmem.core.errors import Invalid

        raise Invalid("there is nothing to add", code="usage", fix='jmem add "what to remember"')
    return stdin.read_text()


def _fields(args: Args) -> dict[str, Any]:
    """The body of POST /memories, without the content."""
    fields: dict[str, Any] = {}
    if args.tag:
        fields["tags"] = list(args.tag)
    for name in ("source", "thread", "speaker", "supersedes", "client"):
        if getattr(args, name) is not None:
            fields[name] = getattr(args, name)
    if args.local:
        fields["privacy"] = "local"
    if args.at is not None or args.expires is not None or args.metadata:
        from jmem.cli import values

        if args.at is not None:
            fields["occurred_at"] = values.moment(args.at, "--at")
        if args.expires is not None:
            fields["expires_at"] = values.moment(args.expires, "--expires", end=True)
            values.warn_if_past(args.out, fields["expires_at"])
        if args.metadata:
            fields["metadata"] = values.metadata(args.metadata)
    if args.infer or args.raw:
        fields["infer"] = bool(args.infer and not args.raw)
    if args.mask or args.allow_secret:
        fields["secrets"] = "mask" if args.mask else "allow"
    return fields


def _say(args: Args, memory: dict[str, Any]) -> None:
    out = args.out
    if out.json:
        out.document(memory)
        return
    if not out.human:
        out.line(memory["id"])
        if memory["duplicate"]:
            out.note(f"already there: {memory['id']}")
        elif memory["similar"]:
            from jmem.cli.remarks import resembles

            resembles(out, memory["similar"])
        return
    from jmem.cli.render import table

    out.line(out.paint("dim", "already there" if memory["duplicate"] else "added"))
    table(out, [memory])
    if memory["similar"]:
        out.line(out.paint("dim", "resembles"))
        for near in memory["similar"]:
            _near(out, near)


def _near(out: Any, near: dict[str, Any]) -> None:
    from jmem.cli.text import cut, one_line

    out.line(
        out.paint("id", near["id"][-6:]) + "  " + cut(one_line(" ".join(near["content"].split())), out.columns - 8)
    )


def _inferred(args: Args, answer: dict[str, Any]) -> int:
    out = args.out
    if out.lines:
        for memory in answer["memories"]:
            out.document(memory)
    elif out.json:
        out.document(answer)
    elif not out.human:
        for memory in answer["memories"]:
            out.line(memory["id"])
    else:
        from jmem.cli.render import table

        table(out, answer["memories"])
    if not answer.get("inferred", True):
        out.warn(f"the text is stored as it is: {answer.get('reason') or 'no model answered'}")
    if answer.get("superseded"):
        out.note(f"replaced {len(answer['superseded'])}: " + " ".join(id[-6:] for id in answer["superseded"]))
    return 0

"""`jmem edit`."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.render import table
from jmem.cli.spec import Argument, Command, Option
from jmem.cli.values import CLEAR, metadata, moment, warn_if_past
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "edit",
    "Change a memory.",
    run="jmem.cli.commands.edit:run",
    help="With words, or '-' for stdin, the text is replaced. With options alone, only what they name changes. With\n"
    "neither, the text opens in $VISUAL or $EDITOR; if something else changes the memory meanwhile, nothing is\n"
    "overwritten and your text is kept. 'none' clears a time, source, thread or speaker.",
    params=(
        Argument("id", "Which memory: any unique part of its id.", metavar="ID", complete="ids"),
        Argument("text", "The new text; '-' reads stdin.", many=True, required=False, metavar="TEXT"),
        Option("--archive", help="Keep it, but out of searches and lists.", kind="flag"),
        Option("--pause", help="Hide it for now.", kind="flag"),
        Option("--activate", help="Show it again.", kind="flag"),
        Option("--local", help="Never let it leave this machine (it gets a new id).", kind="flag"),
        Option("--synced", help="Let it sync (it gets a new id).", kind="flag"),
        Option("--source", help="Where it comes from."),
        Option("--thread", help="The conversation or document that it is part of."),
        Option("--speaker", help="Who said it."),
        Option("--at", help="When it happened.", metavar="WHEN"),
        Option("--expires", help="The last day on which it is true, or the moment.", metavar="WHEN"),
        Option("--metadata", "-m", help="key=value or a JSON object; replaces all of it.", many=True, metavar="K=V"),
        Option("--supersedes", help="The memory that it replaces.", metavar="ID"),
        Option("--if-version", help="Only if this is still its version.", metavar="V"),
    ),
    examples=(
        ('jmem edit 789abc "I prefer window seats"', ""),
        ("jmem edit 789abc", "in your editor"),
        ("jmem edit 789abc --archive --expires none", ""),
    ),
)


def run(args: Args) -> int:
    """Change the fields named, or the text."""
    changes = _changes(args)
    if args.text and args.text != ("-",):
        changes["content"] = " ".join(args.text)
    elif args.text:
        changes["content"] = stdin.read_text()
    if changes:
        memory = args.daemon.edit(args.id, changes, args.if_version)
    else:
        edited = _in_editor(args)
        if edited is None:
            args.out.note("nothing changed")
            return 0
        memory = edited
    show_changed(args, memory)
    return 0


def show_changed(args: Args, memory: dict[str, Any]) -> None:
    """The memory after a change: a line on a terminal, its id in a pipe."""
    out = args.out
    if out.json:
        out.document(memory)
    elif out.human:
        table(out, [memory])
    else:
        out.line(memory["id"])
    if memory.get("replaces"):
        out.note(f"it has a new id now: {memory['id']}")


def _changes(args: Args) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, chosen in (
        ("state", {"archived": args.archive, "paused": args.pause, "active": args.activate}),
        ("privacy", {"local": args.local, "synced": args.synced}),
    ):
        values = [value for value, given in chosen.items() if given]
        if len(values) > 1:
            raise Invalid(f"a memory has one {name}, not {' and '.join(values)}", code="usage", fix="jmem edit --help")
        if values:
            changes[name] = values[0]
    for name in ("source", "thread", "speaker", "supersedes"):
        value = getattr(args, name)
        if value is not None:
            changes[name] = None if value.lower() in CLEAR else value
    for option, name in (("at", "occurred_at"), ("expires", "expires_at")):
        value = getattr(args, option)
        if value is not None:
            changes[name] = None if value.lower() in CLEAR else moment(value, "--" + option, end=option == "expires")
    warn_if_past(args.out, changes.get("expires_at"))
    if args.metadata:
        changes["metadata"] = metadata(args.metadata)
    return changes


def _in_editor(args: Args) -> dict[str, Any] | None:
    """Edit the text in the user's editor; None when nothing changed."""
    import os

    from jmem.cli.editor import command, edit_text
    from jmem.core.errors import JmemError

    if stdin.is_terminal():
        command(args.environ)  # raises, where there is none
    elif not (args.environ.get("VISUAL") or args.environ.get("EDITOR")):
        raise Invalid(
            "an editor needs a terminal", code="usage", fix=f"jmem edit {args.id} -   reads the text from stdin"
        )

    memory = args.daemon.get(args.id)
    path, text = edit_text(args.environ, memory["content"], name=f"jmem-{memory['id'][-6:]}-")
    if text == memory["content"] or not text.strip():
        os.unlink(path)
        return None
    try:
        changed = args.daemon.edit(memory["id"], {"content": text}, memory["version"])
    except JmemError as error:
        error.fix = f"your text is in {path}: jmem edit {memory['id'][-6:]} - < {path}"
        raise
    os.unlink(path)
    return changed

"""`jmem backup`."""

from __future__ import annotations

import os

from jmem.cli.ask import confirmed
from jmem.cli.options import YES
from jmem.cli.render import AGE_COLUMNS, ago
from jmem.cli.spec import Argument, Command, Group
from jmem.cli.text import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.output import Output

    Document = dict[str, Any]

_RUN = "jmem.cli.commands.backup:"
GROUP = Group("backup", "Make, list and restore backups.", default="create")
COMMANDS = (
    Command(
        "create",
        "Make a backup now, while the daemon works.",
        group="backup",
        run=_RUN + "create",
        help="The daemon makes one a day by itself and keeps `backup.keep` of them.",
        examples=(("jmem backup", ""), ("jmem backup --json | jq -r .path", "")),
    ),
    Command(
        "list",
        "List the backups, newest first.",
        group="backup",
        run=_RUN + "show",
        help="In a pipe: name, time, bytes, memories, kind and path, separated by tabs.",
        examples=(("jmem backup list", ""),),
        lines=True,
    ),
    Command(
        "restore",
        "Prove a backup and put it in the place of all memories.",
        group="backup",
        run=_RUN + "restore",
        help="What is there now is backed up first, so a restore can be taken back by another one. What was purged stays purged.",
        params=(
            Argument("path", "The backup: its name in `jmem backup list`, or a file."),
            YES,
        ),
        examples=(("jmem backup restore memories-20261122T201305Z-daily.db", ""),),
    ),
)


def create(args: Args) -> int:
    """Make one."""
    backup = args.daemon.backup()
    out = args.out
    if out.json:
        out.document(backup)
    else:
        out.line(backup["path"])
        out.note(f"backed up {backup['memories']:,} memories ({_size(backup['bytes'])}) and proved the copy")
    return 0


def show(args: Args) -> int:
    """List them."""
    out = args.out
    document = args.daemon.backups()
    backups = document["backups"]
    if out.lines:
        for backup in backups:
            out.document(backup)
    elif out.json:
        out.document(document)
    else:
        for backup in backups:
            _row(out, backup)
        if not backups:
            out.note("there is no backup yet: jmem backup")
    return 0


def _row(out: Output, backup: Document) -> None:
    if not out.human:
        out.row(
            backup["name"], backup["created_at"], backup["bytes"], backup["memories"], backup["kind"], backup["path"]
        )
        return
    particulars = f"  {backup['kind']:<9}  {_size(backup['bytes']):>8}  {backup['memories']:>7,}  "
    name = cut(backup["name"], max(out.columns - len(particulars) - AGE_COLUMNS - 4, 8))
    out.line(out.paint("id", name) + particulars + out.paint("dim", ago(backup["created_at"])))


def restore(args: Args) -> int:
    """Put one in the place of the store."""
    if not confirmed(args.out, f"Put {args.path} in the place of all memories", args.yes):
        return 0
    path = os.path.abspath(args.path) if os.path.exists(args.path) else args.path
    restored = args.daemon.restore_backup(path)
    out = args.out
    if out.json:
        out.document(restored)
        return 0
    if not out.human:
        for name, value in restored.items():
            out.row(name, value)
    again = f", {restored['purged_again']:,} of them forgotten again" if restored["purged_again"] else ""
    out.note(f"restored {restored['memories']:,} memories{again}")
    if restored["replaced"]:
        out.note(f"what was there before is kept: jmem backup restore {os.path.basename(restored['replaced'])}")
    if args.daemon.request("GET", "/account")["signed_in"]:
        out.note("the account gives back what it knows; to go on without it: jmem logout")
    return 0


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"

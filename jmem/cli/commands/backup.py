"""`jmem backup`."""

from __future__ import annotations

import os

from jmem.cli.ask import confirmed
from jmem.cli.options import YES
from jmem.cli.render import ago
from jmem.cli.spec import Argument, Command, Group, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

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
            Argument("path", "The backup, as `jmem backup list` names it."),
            Option(*YES.names, help=YES.help, kind="flag"),
        ),
        examples=(("jmem backup restore 2026-11-22T20-13-05Z.db", ""),),
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
    backups = args.daemon.backups()
    if out.lines:
        for backup in backups:
            out.document(backup)
    elif out.json:
        out.document({"backups": backups})
    else:
        for backup in backups:
            if out.human:
                out.line(f"{ago(backup['created_at']):<10}  {_size(backup['bytes']):>9}  {backup['path']}")
            else:
                out.row(backup["path"], backup["created_at"], backup["bytes"])
        if not backups:
            out.note("there is no backup yet")
    return 0


def restore(args: Args) -> int:
    """Put one in the place of the store."""
    if not confirmed(args.out, f"Put {args.path} in the place of all memories", args.yes):
        return 0
    path = os.path.abspath(args.path) if os.path.exists(args.path) else args.path
    answer = args.daemon.restore_backup(path)
    if args.out.json:
        args.out.document(answer)
    else:
        for name, value in answer.items():
            args.out.row(name, value)
    return 0


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"

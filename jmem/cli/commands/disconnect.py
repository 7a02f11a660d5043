"""`jmem disconnect`."""

from __future__ import annotations

from jmem.cli.options import YES
from jmem.cli.spec import Argument, Command, Option

COMMAND = Command(
    "disconnect",
    "Take your memory away from a program.",
    run="jmem.cli.connect.commands:disconnect",
    help="Removes jmem's entry from the program's settings and revokes its key. Nothing else in the settings changes; "
    "where nobody wrote them since `jmem connect`, they are again what they were, to the byte. Memories stay.",
    params=(
        Argument("name", "The program.", required=False, complete="programs"),
        Option("--all", help="Every program that is connected.", kind="flag"),
        Option("--dry-run", help="Show the change only.", kind="flag"),
        YES,
    ),
    examples=(("jmem disconnect cursor", ""), ("jmem disconnect --all --yes", "")),
)

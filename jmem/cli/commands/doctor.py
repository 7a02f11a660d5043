"""`jmem doctor`."""

from __future__ import annotations

from jmem.cli.spec import Command, Option

COMMAND = Command(
    "doctor",
    "Check everything that can be wrong, and mend it.",
    run="jmem.cli.doctor:run",
    help="Works whether the daemon runs or not, and starts none. Ends with 0 when nothing failed; warnings do not count.\n"
    "--fix mends what is safe to mend: permissions, stale sockets, the search index, missing backups, settings of "
    "programs that point to a jmem that is gone.",
    params=(Option("--fix", help="Mend what can be mended safely.", kind="flag"),),
    examples=(
        ("jmem doctor", ""),
        ("jmem doctor --fix", ""),
        ("jmem doctor --json | jq '.checks[] | select(.status != \"ok\")'", ""),
    ),
)

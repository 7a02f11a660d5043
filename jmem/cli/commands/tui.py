"""`jmem tui`, and what `jmem` alone does on a terminal."""

from __future__ import annotations

import os

from jmem.cli.spec import Command
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "tui",
    "Open the terminal interface.",
    run="jmem.cli.commands.tui:run",
    help="`jmem` alone does the same on a terminal. ? shows every key; tui.toml beside config.toml holds theme and keys.",
    examples=(("jmem", ""), ("jmem --user work tui", "the memory of another user")),
)


def run(args: Args) -> int:
    """Open it and stay until the person leaves."""
    if not (os.isatty(0) and os.isatty(2)):
        raise Invalid("the interface needs a terminal", code="usage", fix="jmem --help")
    from jmem.tui.main import run as open_interface

    return open_interface(args.environ, args.user)

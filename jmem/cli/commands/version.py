"""`jmem version`."""

from __future__ import annotations

import sys

from jmem import __version__
from jmem.cli.spec import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "version",
    "Print the version.",
    run="jmem.cli.commands.version:run",
    examples=(("jmem version", ""), ("jmem version --json", "with those of Python and the platform")),
)


def run(args: Args) -> int:
    """Print it."""
    if args.out.json:
        python = ".".join(map(str, sys.version_info[:3]))
        args.out.document({"version": __version__, "python": python, "platform": sys.platform})
    else:
        args.out.line(__version__)
    return 0

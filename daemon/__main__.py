"""`python -P -m daemon run [--ready-fd N]`, `check`, `install`, `uninstall`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

USAGE = """usage: python -P -m daemon run [--ready-fd N]   serve until told to stop
       python -P -m daemon check …               look at the store without a daemon (jmem doctor)
       python -P -m daemon install [--print]     have systemd or launchd start it
       python -P -m daemon uninstall
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    match list(arguments):
        case ["run"]:
            return _run(None)
        case ["run", "--ready-fd", fd] if fd.isdigit():
            return _run(int(fd))
        case ["check", *rest]:
            from daemon import check

            return check.main(rest)
        case ["install" | "uninstall" as command, *rest]:
            from daemon import units

            return units.main(command, rest, os.environ)
    sys.stderr.write(USAGE)
    return 2


def _run(ready_fd: int | None) -> int:
    from daemon.lifecycle import run

    return run(ready_fd, os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`jmem logout`."""

from __future__ import annotations

from jmem.cli.spec import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "logout",
    "Sign out on this machine; nothing is deleted, here or in the account.",
    run="jmem.cli.commands.logout:run",
    help="What was written since the last exchange waits until you sign in again.",
    examples=(("jmem logout", ""),),
)


def run(args: Args) -> int:
    """Sign out."""
    answer = args.daemon.request("POST", "/account/logout", {})
    if args.out.json:
        args.out.document(answer)
    else:
        args.out.note("signed out; your memories stay on this machine")
    return 0

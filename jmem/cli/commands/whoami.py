"""`jmem whoami`."""

from __future__ import annotations

from jmem.cli.spec import Command
from jmem.core.errors import Unauthorized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "whoami",
    "Show which hosted account this machine is signed in to.",
    run="jmem.cli.commands.whoami:run",
    help="Exit code 4 when it is signed in to none. In a pipe: address, account, URL, separated by tabs.",
    examples=(("jmem whoami", ""), ("jmem whoami --json | jq -r .email", "")),
)


def run(args: Args) -> int:
    """Show it."""
    out = args.out
    answer = args.daemon.request("GET", "/account")
    if out.json:
        out.document(answer)
        return 0 if answer["signed_in"] else Unauthorized.exit_code
    if not answer["signed_in"]:
        raise Unauthorized("nobody is signed in on this machine", code="not_signed_in", fix="jmem login")
    if out.human:
        out.line(answer["email"] or answer["account"] or "an API key")
        out.note(f"at {answer['url']}; what proves it is kept in: {answer['kept']}")
    else:
        out.row(answer["email"], answer["account"], answer["url"])
    return 0

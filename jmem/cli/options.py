"""Parameters that several commands share."""

from __future__ import annotations

from jmem.cli.spec import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

TAG = Option("--tag", "-t", help="Only with this tag; repeat for several.", many=True, complete="tags")
CLIENT = Option(
    "--client", "-c", help="Only from this program; repeat for several.", many=True, metavar="NAME", complete="clients"
)
STATE = Option(
    "--state",
    help="Only in this state: active, paused, archived, review (waits for you), or all but review.",
    choices=("active", "paused", "archived", "review", "all"),
)
SINCE = Option("--since", help="Not before this time: 2026-11-22, yesterday, 'last week'.", metavar="WHEN")
UNTIL = Option("--until", help="Up to this time; a day or a month is included.", metavar="WHEN")
AS_OF = Option(
    "--as-of", help="As it stood at this time: 'last week', '2 hours ago'; a day counts to its end.", metavar="WHEN"
)
THREAD = Option("--thread", help="Only of this conversation or document.")
SOURCE = Option("--source", help="Only from this source.")
PRIVACY = Option("--privacy", help="Only local or only synced ones.", choices=("local", "synced"))
FILTERS = (TAG, CLIENT, STATE, SINCE, UNTIL, THREAD, SOURCE, PRIVACY)
"""Which memories: of `list`, `search` and `export`."""
YES = Option("--yes", "-y", help="Do it without asking.", kind="flag")


def filter_query(args: Args) -> dict[str, Any]:
    """FILTERS as the query of GET /memories and /export."""
    return {option.dest: getattr(args, option.dest) for option in FILTERS}


def filter_request(args: Args) -> dict[str, Any]:
    """The same for the body of POST /search, as far as the command has these options and they are given."""
    request: dict[str, Any] = {}
    if args.tag:
        request["tags"] = list(args.tag)
    if args.client:
        request["clients"] = list(args.client)
    if args.state:
        request["states"] = ["active", "paused", "archived"] if args.state == "all" else [args.state]
    for name in ("since", "until", "privacy", "thread", "source", "as_of"):
        if getattr(args, name, None) is not None:
            request[name] = getattr(args, name)
    return request

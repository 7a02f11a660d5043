"""Parameters that several commands share."""

from __future__ import annotations

from jmem.cli.spec import Option

TAG = Option("--tag", "-t", help="Only with this tag; repeat for several.", many=True)
CLIENT = Option("--client", "-c", help="Only from this program; repeat for several.", many=True, metavar="NAME")
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
PRIVACY = Option("--privacy", help="Only local or only synced ones.", choices=("local", "synced"))
YES = Option("--yes", "-y", help="Do it without asking.", kind="flag")

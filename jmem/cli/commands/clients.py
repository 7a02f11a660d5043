"""`jmem clients` and `jmem clients set`."""

from __future__ import annotations

from jmem.cli.spec import Argument, Command, Group, Option

GROUP = Group("clients", "Show which programs use your memory, and what each may do.", default="list")

COMMANDS = (
    Command(
        "list",
        "List the programs that are connected.",
        run="jmem.cli.connect.clients:show",
        group="clients",
        help="In a pipe: name, what it may do (r read, w write, d delete), tags, when it was last seen, whether what it "
        "writes waits for you (review), how many changes it may make within an hour.",
        params=(Option("--revoked", help="Also those that were disconnected.", kind="flag"),),
        examples=(("jmem clients", ""), ("jmem clients --json | jq -r '.clients[].name'", "")),
        lines=True,
    ),
    Command(
        "set",
        "Say what a program may do.",
        run="jmem.cli.connect.clients:allow",
        group="clients",
        help="With --tag the program sees and changes memories with one of these tags only, and what it adds gets the "
        "first of them.\n"
        "With --review, what it writes waits until you accept it (`jmem review`), and it may delete nothing else. Changes "
        "within an hour are what it adds and deletes.",
        params=(
            Argument("name", "The program.", complete="clients"),
            Option("--read", help="Let it search and list.", kind="flag"),
            Option("--no-read", help="Do not let it search and list.", kind="flag"),
            Option("--write", help="Let it add.", kind="flag"),
            Option("--no-write", help="Do not let it add.", kind="flag"),
            Option("--delete", help="Let it delete.", kind="flag"),
            Option("--no-delete", help="Do not let it delete.", kind="flag"),
            Option("--review", help="Let what it writes wait until you accept it.", kind="flag"),
            Option("--no-review", help="Let what it writes be found at once.", kind="flag"),
            Option(
                "--writes-per-hour", help="How many changes it may make within an hour; none: any number.", metavar="N"
            ),
            Option("--tag", "-t", help="Only memories with this tag; repeat for several.", many=True, complete="tags"),
            Option("--all-tags", help="Memories with any tag, and with none.", kind="flag"),
        ),
        examples=(
            ("jmem clients set cursor --no-delete", ""),
            ("jmem clients set cursor --review", "what it writes waits for `jmem review`"),
            ("jmem clients set cursor --writes-per-hour 30", "none takes the cap away"),
            ("jmem clients set claude --tag work --tag travel", "it sees these tags only"),
            ("jmem clients set claude --all-tags", ""),
        ),
    ),
)

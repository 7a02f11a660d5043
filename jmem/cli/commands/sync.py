"""`jmem sync` and its commands."""

from __future__ import annotations

from jmem.cli import exchange
from jmem.cli.render import ago
from jmem.cli.spec import Command, Group, Option
from jmem.core.errors import Invalid, Unreachable, from_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.progress import Progress

    Document = dict[str, Any]

_RUN = "jmem.cli.commands.sync:"
GROUP = Group("sync", "See and steer the exchange with your hosted account.", default="status")
COMMANDS = (
    Command(
        "status",
        "Show how the exchange goes, what waits, and what mends it.",
        group="sync",
        run=_RUN + "status",
        help="In a pipe: a name and a value a line, separated by a tab.",
        examples=(("jmem sync", ""), ("jmem sync status --json | jq .waiting", "")),
    ),
    Command(
        "now",
        "Exchange now, and wait until both know the same.",
        group="sync",
        run=_RUN + "now",
        help="Needed by nobody in daily use: the daemon exchanges by itself within a second of a change. It waits however long it\n"
        "takes, and tells on stderr how far it has come.",
        examples=(("jmem sync now", ""),),
    ),
    Command(
        "verify",
        "Prove that this machine and the account know the same.",
        group="sync",
        run=_RUN + "verify",
        help="What waits is exchanged first, then both are compared by a hash tree. Exit code 1 when something differs.\n"
        "In a pipe: a line for each memory that differs, its id and what does (missing_here, missing_there, ops, row).",
        params=(Option("--fix", help="Put right what differs, and compare again.", kind="flag"),),
        examples=(("jmem sync verify", ""), ("jmem sync verify --fix", ""), ("jmem sync verify --json | jq .equal", "")),
    ),
    Command(
        "pause",
        "Stop exchanging until `jmem sync resume`, also over a restart.",
        group="sync",
        run=_RUN + "pause",
        examples=(("jmem sync pause", ""),),
    ),
    Command("resume", "Go on exchanging.", group="sync", run=_RUN + "resume", examples=(("jmem sync resume", ""),)),
    Command(
        "rules",
        "Show or change what stays on this machine though it is not private.",
        group="sync",
        run=_RUN + "rules",
        help="Memories with one of these tags, of one of these programs, or from a file below one of these folders stay here.\n"
        "What the account has already stays there: `jmem rm ID --purge` takes it away everywhere.",
        params=(
            Option("--keep-tag", help="Keep memories with this tag here.", many=True, metavar="TAG", complete="tags"),
            Option("--keep-client", help="Keep what this program wrote here.", many=True, metavar="NAME", complete="clients"),
            Option("--keep-folder", help="Keep what came from files below this folder here.", many=True, metavar="FOLDER"),
            Option("--let-tag", help="Let memories with this tag go again.", many=True, metavar="TAG"),
            Option("--let-client", help="Let what this program wrote go again.", many=True, metavar="NAME"),
            Option("--let-folder", help="Let what came from this folder go again.", many=True, metavar="FOLDER"),
        ),
        examples=(
            ("jmem sync rules", "show them"),
            ("jmem sync rules --keep-tag work --keep-folder ~/notes", ""),
            ("jmem sync rules --let-tag work", ""),
        ),
    ),
)  # fmt: skip


def status(args: Args) -> int:
    """Show it."""
    _show(args, args.daemon.request("GET", "/sync"))
    return 0


def now(args: Args) -> int:
    """Exchange, however long it takes; how far it has come is shown meanwhile."""

    def ask() -> Document:
        while True:
            try:
                return args.daemon.request("POST", "/sync/now", {}, timeout=_LONG)
            except Unreachable as error:
                if error.code != "still_syncing":
                    raise

    def look(progress: Progress) -> None:
        if said := exchange.progress(args.daemon.request("GET", "/sync")):
            progress.say(said)

    answer = _watched(args, "exchanged", ask, look)
    if args.out.json:
        args.out.document(answer)
    else:
        args.out.note("this machine and the account know the same")
    return 0


def verify(args: Args) -> int:
    """Compare, and put right."""
    verdict = _verified(args)
    out, differing = args.out, verdict["differences"]
    if out.json:
        out.document(verdict)
        return 0 if verdict["equal"] else 1
    for one in differing:
        what = _WHAT[one["what"]] if out.human else one["what"]
        waits = f", {one['waiting']:,} changes wait" if one["waiting"] and out.human else ""
        out.row(one["id"], what + waits)
    if verdict["mended"]:
        out.note(f"put right: {len(verdict['mended']):,}")
    if differing:
        out.note(
            f"{len(differing):,} differ; "
            + ("jmem sync status" if args.fix else "put right by: jmem sync verify --fix")
        )
    else:
        out.note(f"equal: {verdict['local']:,} memories here and in the account, deleted ones counted too")
    return 1 if differing else 0


_WHAT = {"missing_here": "is missing here", "missing_there": "is missing in the account", "ops": "has other changes there",
         "row": "is not what its changes add up to"}  # fmt: skip


def _verified(args: Args) -> Document:
    """The answer; how far it has come is shown meanwhile."""
    return _watched(
        args, "looked at", lambda: args.daemon.request("POST", "/sync/verify", {"fix": args.fix}, timeout=_LONG),
        lambda progress: progress.update(args.daemon.request("GET", "/sync/verify")["done"]),
    )  # fmt: skip


def _watched(args: Args, what: str, ask: Callable[[], Document], look: Callable[[Progress], object]) -> Document:
    """What the daemon answers; meanwhile one looks at how far it has come."""
    import threading
    from concurrent.futures import Future, wait

    from jmem.cli.progress import Progress

    asked: Future[Document] = Future()

    def run() -> None:
        try:
            asked.set_result(ask())
        except BaseException as error:  # noqa: BLE001  raised where the result is asked for
            asked.set_exception(error)

    # nothing waits for the thread, so that Ctrl-C ends the command at once
    threading.Thread(target=run, name="jmem-ask", daemon=True).start()
    with Progress(args.out, what) as progress:
        while not wait((asked,), timeout=0.5).done:
            look(progress)
    return asked.result()


_LONG = 3600.0


def pause(args: Args) -> int:
    """Stop."""
    return _pause(args, True, "paused; go on with: jmem sync resume")


def resume(args: Args) -> int:
    """Go on."""
    return _pause(args, False, "it exchanges again")


def _pause(args: Args, paused: bool, done: str) -> int:
    answer = args.daemon.request("POST", "/sync/pause", {"paused": paused})
    if args.out.json:
        args.out.document(answer)
    else:
        args.out.note(done)
    return 0


def rules(args: Args) -> int:
    """Show or change them."""
    import os

    held: Document = args.daemon.request("GET", "/sync")["rules"]
    changed = {name: list(values) for name, values in held.items()}
    for name, keep, let in (
        ("tags", args.keep_tag, args.let_tag),
        ("clients", args.keep_client, args.let_client),
        ("folders", [os.path.abspath(f) for f in args.keep_folder], [os.path.abspath(f) for f in args.let_folder]),
    ):
        for value in let:
            if value not in changed[name]:
                raise Invalid(f"no rule names {value}", code="no_rule", fix="jmem sync rules")
        changed[name] = [v for v in dict.fromkeys([*changed[name], *keep]) if v not in let]
    answer = args.daemon.request("PUT", "/sync/rules", changed) if changed != held else {"rules": held}
    out = args.out
    if out.json:
        out.document(answer["rules"])
        return 0
    for name, values in answer["rules"].items():
        for value in values:
            out.row(name.removesuffix("s"), value)
    if not any(answer["rules"].values()):
        out.note("no rule: everything that is not private goes to the account")
    return 0


def _show(args: Args, sync: Document) -> None:
    out = args.out
    if out.json:
        out.document(sync)
        return
    for name, value in _facts(sync):
        if out.human:
            out.line(f"{out.paint('dim', name.ljust(10))} {value}")
        else:
            out.row(name, value)
    if sync["state"] == "off":
        out.note("not signed in: nothing leaves this machine (jmem login)")
    if sync["error"]:
        out.error(from_problem(sync["error"]))


def _facts(sync: Document) -> Iterator[tuple[str, str]]:
    yield "state", sync["state"].replace("_", " ")
    if sync["state"] != "off":
        yield "account", exchange.account(sync)
        yield "waiting", exchange.waiting(sync)
        if sync["held"]:
            yield "held back", f"{sync['held']:,} by rules"
        if done := exchange.progress(sync):
            yield "progress", done
        yield "exchanged", ago(sync["last_exchange"]) if sync["last_exchange"] else "not yet"
    yield from exchange.amiss(sync)

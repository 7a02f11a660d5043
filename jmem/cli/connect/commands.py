"""What `jmem connect` and `jmem disconnect` do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from jmem.cli import stdin
from jmem.cli.args import Args
from jmem.cli.connect import CLIENTS, change, here, probe
from jmem.cli.connect.change import Change
from jmem.cli.connect.place import Client
from jmem.cli.connect.record import Connections
from jmem.cli.connect.status import State, every_state, state_of
from jmem.cli.output import FAILED, OK
from jmem.core.errors import Conflict, Invalid, JmemError, NotFound, Refused
from jmem.core.model import check_client


def connect(args: Args) -> int:
    """Connect a program, print how, or list the programs."""
    if args.http and args.stdio:
        raise Invalid("--http and --stdio exclude each other", code="usage")
    if args.name is None:
        return _list(args)
    name = check_client(args.name)
    if args.print:
        args.out.document(_urls(args, name))
        return 0
    client = CLIENTS.get(name)
    if client is None:
        raise NotFound(
            f"jmem does not know where {name!r} keeps its settings; it knows {', '.join(CLIENTS)}",
            code="unknown_client",
            fix=f"jmem connect {name} --print   and enter the command or a URL by hand",
        )
    return _connect(args, client)


def _urls(args: Args, name: str) -> dict[str, Any]:
    """The document of --print: the daemon's answer, with this very program as the command."""
    answer = args.daemon.request("POST", "/clients", {"name": name, "rotate": args.rotate and not args.dry_run})
    stdio = here.launch(name, args.user, args.home, args.environ).stdio()
    return {"client": name, "sse": answer["sse"], "http": answer["http"], "stdio": stdio}


def _connect(args: Args, client: Client) -> int:
    machine = here.machine(args.environ)
    state = state_of(client, machine, args.user)
    http = args.http or (state.form == "http" and not args.stdio)
    _refuse_unsuited(args, client, state, http)
    known = Connections(Path(args.home))
    launch = here.launch(client.name, args.user, args.home, args.environ)
    change.connecting(client, machine, args.user, launch)  # a broken file ends it before a daemon is started
    if http:
        launch = replace(launch, url=_url_to_show(args, client.name))
    changes = change.connecting(client, machine, args.user, launch)
    report: dict[str, Any] = {"client": client.name, "form": "http" if http else "stdio", "files": _files(changes)}
    if _agreed(args, changes, f"connect {client.title}?") and not args.dry_run:
        urls = _urls(args, client.name)  # makes the key, so that the program is listed from now on
        if http and urls["http"] != launch.url:
            changes = _same_files(
                changes, change.connecting(client, machine, args.user, replace(launch, url=urls["http"]))
            )
            report["files"] = _files(changes)
        was = known.get(args.user, client.name)
        made = change.apply(changes, was, client.name, args.user, report["form"])
        known.put(made)
        backups = {w.path: w.backup for w in made.files}
        for file in report["files"]:
            file["backup"] = backups.get(file["path"])
        _tell_connected(args, client, report, {w.backup for w in was.files} if was else set())
        if http and state.form != "http" and not args.no_service:
            report["service"] = _install_service(args)
    if args.check and not args.dry_run:
        args.daemon.health()  # starts it: a URL does not
        report["check"] = _check(args, client)
    if args.out.json:
        args.out.document({**report, "reload": client.reload})
    return 0


def _url_to_show(args: Args, name: str) -> str:
    """The URL that a question or a dry run shows: with zeros for a key that is made only once the answer is yes."""
    if not args.rotate and any(client["name"] == name and not client["revoked"] for client in args.daemon.clients()):
        return str(_urls(args, name)["http"])
    return f"http://127.0.0.1:{args.daemon.status()['daemon']['port']}/mcp/{name}/http/{UUID(int=0)}"


def _same_files(agreed: Sequence[Change], now: list[Change]) -> list[Change]:
    """`now`, for the files that were agreed on as they were then; raises Conflict."""
    for shown, one in zip(agreed, now, strict=True):
        if shown.before != one.before:
            raise Conflict(
                f"{one.place.path} has changed meanwhile", code="config_changed", fix="run the command again"
            )
    return now


def _refuse_unsuited(args: Args, client: Client, state: State, http: bool) -> None:
    if http and not client.urls:
        raise Refused(
            f"{client.title} takes commands only in its settings file, no URLs",
            code="no_urls",
            fix=f"jmem connect {client.name}   without --http",
        )
    if not (state.installed or args.force):
        looked = ", ".join(str(place.path.parent) for place in client.places(here.machine(args.environ)))
        raise NotFound(
            f"{client.title} does not seem to be installed (looked for {looked})",
            code="client_not_installed",
            fix=f"start {client.title} once and run this again; or --force; or jmem connect {client.name} --print",
        )


def _files(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [{"path": str(c.place.path), "changed": c.needed, "diff": "\n".join(c.diff())} for c in changes]


def _agreed(args: Args, changes: Sequence[Change], question: str) -> bool:
    """Show what would change; whether to do it. Raises Refused on a no, and where nobody can be asked."""
    needed = [c for c in changes if c.needed]
    for one in needed:
        if one.foreign:
            args.out.warn(
                f"{one.place.path} has a server of the same name that jmem did not write; it would be replaced"
            )
        if args.dry_run and not args.out.json:
            args.out.write("".join(f"{line}\n" for line in one.diff()))
        elif not (args.out.json or args.out.quiet):
            args.out.write_error("".join(f"{line}\n" for line in one.diff()))
    if args.dry_run or args.yes or not needed:
        return True
    if stdin.is_terminal() and sys.stdin is not None and not args.out.json:
        args.out.write_error(f"{question} [Y/n] ")
        if sys.stdin.readline().strip().lower() in ("y", "yes", ""):
            return True
        raise Refused("nothing was changed", code="declined")
    raise Conflict(
        "nobody is here to ask; nothing was changed", code="needs_yes", fix="add --yes   or look first: --dry-run"
    )


def _tell_connected(args: Args, client: Client, report: dict[str, Any], older: Set[str | None]) -> None:
    """Say what was written. `older`: backups of an earlier connection, which this one kept."""
    changed = [file for file in report["files"] if file["changed"]]
    if not changed:
        args.out.note(f"{client.title} is connected already; nothing to change")
        return
    for file in changed:
        what = "as it was before jmem, it is" if file["backup"] in older else "the old one is"
        kept = f"; {what} {file['backup']}" if file["backup"] else ""
        args.out.note(f"wrote {file['path']}{kept}")
    args.out.note(f"connected {client.title}. {client.reload}.")


def _install_service(args: Args) -> dict[str, Any]:
    """Let the system start the daemon, so that a URL works after a reboot. A failure is told, not raised."""
    commands = [[sys.executable, "-P", "-m", "daemon", "install"]]
    if sys.platform == "linux":
        commands.insert(0, ["systemctl", "--user", "show-environment"])  # before anything is written: is there one?
    for command in commands:
        reason = _failure(command, {**args.environ, "JMEM_HOME": args.home})
        if reason is not None:
            args.out.warn(f"the URL works while the daemon runs; it could not be set up to start by itself: {reason}")
            return {"installed": False, "detail": reason}
    args.out.note("the system now starts the daemon when it is needed (jmem daemon uninstall takes that back)")
    return {"installed": True, "detail": None}


def _failure(command: list[str], environ: Mapping[str, str]) -> str | None:
    """Run a command; what it said when it failed."""
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return said[0] if said else f"{command[0]} ended with code {done.returncode}"


def _check(args: Args, client: Client) -> list[dict[str, Any]]:
    """The round trip through each file of the client as it now stands. Raises CheckFailed, Unreachable."""
    proofs = []
    for entry in state_of(client, here.machine(args.environ), args.user).entries:
        if entry.problem:
            raise entry.problem
        if entry.value is None or entry.form is None:
            raise NotFound(f"{entry.place.path} has no entry of jmem", fix=f"jmem connect {client.name}")
        proof = probe.check(probe.server_for(entry.value, args.environ), args.daemon.purge)
        proofs.append(
            {"path": str(entry.place.path), "form": entry.form, "server": proof.server, "tools": list(proof.tools),
             "took_ms": round(proof.took_ms, 1)}
        )  # fmt: skip
        args.out.note(
            f"checked {entry.place.path}: added and found in {proof.took_ms:.0f} ms, then forgotten ({proof.server})"
        )
    return proofs


def _list(args: Args) -> int:
    states = every_state(here.machine(args.environ), args.user)
    out = args.out
    if out.json:
        out.document({"clients": [_described(state) for state in states]})
        return 0
    for state in states:
        how = "broken settings" if state.problem else f"connected ({state.form})" if state.form else ""
        how = how or ("installed" if state.installed else "not found")
        if out.human:
            style = "bad" if state.problem else "good" if state.form else "dim"
            paths = ", ".join(str(entry.place.path) for entry in state.entries if state.installed)
            out.line(
                f"{state.client.name:<12}  {out.paint(style, f'{how:<18}')}  {state.client.title}  {out.paint('dim', paths)}".rstrip()
            )
        else:
            out.row(state.client.name, how, state.client.title, state.entries[0].place.path)
    out.note("connect one: jmem connect NAME; any other program: jmem connect NAME --print")
    return 0


def _described(state: State) -> dict[str, Any]:
    return {
        "name": state.client.name,
        "title": state.client.title,
        "installed": state.installed,
        "connected": state.form,
        "problem": state.problem.message if state.problem else None,
        "files": [str(entry.place.path) for entry in state.entries],
    }


def disconnect(args: Args) -> int:
    """Disconnect one program, or all of them."""
    if bool(args.name) == bool(args.all):
        raise Invalid("name one program, or say --all", code="usage", fix="jmem connect   lists them")
    known = Connections(Path(args.home))
    names = [check_client(args.name)] if args.name else _connected(args, known)
    if args.name:
        report = _disconnect(args, names[0], known)
        if args.out.json:
            args.out.document(report)
        return OK
    reports = [_disconnect_one_of_all(args, name, known) for name in names]
    if args.out.json:
        args.out.document({"clients": reports})
    return FAILED if any("problem" in report for report in reports) else OK


def _disconnect_one_of_all(args: Args, name: str, known: Connections) -> dict[str, Any]:
    """Its report; one that can't be disconnected is told and keeps nothing from the others.

    Where its file is broken its key is revoked all the same: what the file says opens nothing any more.
    """
    try:
        return _disconnect(args, name, known)
    except JmemError as error:
        broken = error.code == "broken_client_config" and not args.dry_run and (args.yes or args.out.json)
        revoked = broken and _revoke(args, name)
        if not args.out.json:
            also = "; its key is revoked" if revoked else ""
            args.out.warn(f"{name}: {error.message}{also}" + (f" ({error.fix})" if error.fix else ""))
        return {"client": name, "files": [], "revoked": revoked, "problem": error.problem()}


def _connected(args: Args, known: Connections) -> list[str]:
    """Every program with an entry in its settings, a record of one, or a key."""
    by_files = [state.client.name for state in every_state(here.machine(args.environ), args.user) if state.form]
    by_record = [connection.client for connection in known.all() if connection.user == args.user]
    by_key = [client["name"] for client in args.daemon.clients() if not client["revoked"]]
    return list(dict.fromkeys([*by_files, *by_record, *by_key]))


def _disconnect(args: Args, name: str, known: Connections) -> dict[str, Any]:
    client, was = CLIENTS.get(name), known.get(args.user, name)
    changes = change.disconnecting(client, here.machine(args.environ), args.user, was) if client else []
    title = client.title if client else name
    report: dict[str, Any] = {"client": name, "files": _files(changes), "revoked": False}
    if not _agreed(args, changes, f"disconnect {title}?") or args.dry_run:
        return report
    copies = change.undo(changes, was)
    known.remove(args.user, name)
    report["backups"] = [str(copy) for copy in copies]
    report["revoked"] = _revoke(args, name)
    if not (report["revoked"] or any(c.needed for c in changes)):
        raise NotFound(f"{title} is not connected", code="not_connected", fix="jmem connect   shows what is")
    for file in report["files"]:
        if file["changed"]:
            args.out.note(f"jmem is out of {file['path']}")
    if report["revoked"]:
        args.out.note(f"{title}'s key is revoked")
    return report


def _revoke(args: Args, name: str) -> bool:
    """Make the client's key worthless; False when it had none."""
    if not any(client["name"] == name and not client["revoked"] for client in args.daemon.clients()):
        return False
    args.daemon.request("DELETE", f"/clients/{name}")
    return True

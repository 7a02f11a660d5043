"""`jmem account` and its commands."""

from __future__ import annotations

import os

from jmem.cli.ask import confirmed, typed
from jmem.cli.options import YES
from jmem.cli.output import OK
from jmem.cli.progress import Progress
from jmem.cli.render import ago
from jmem.cli.spec import Argument, Command, Group, Option
from jmem.cli.text import one_line
from jmem.cli.wholefile import whole_file
from jmem.core.errors import Ambiguous, Invalid, JmemError, NotFound, Unauthorized, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

    Document = dict[str, Any]

_RUN = "jmem.cli.commands.account:"
GROUP = Group("account", "Your hosted account: its devices, all that it keeps, and its end.", default="devices")
COMMANDS = (
    Command(
        "devices",
        "Show the machines that sync with the account, or shut one out.",
        group="account",
        run=_RUN + "devices",
        help="In a pipe: id, name, when it was last seen, how many changes it has not read, separated by tabs.\n"
        "`devices revoke ID` refuses the sign-in of that machine from its next request on: what is on it stays, and it may\n"
        "sign in anew. An API key that it used is revoked with it. The ID may be a part of it, or the machine's name.",
        params=(
            Argument("action", "`revoke`, or nothing.", required=False, choices=("revoke",)),
            Argument("id", "Which machine.", required=False),
            YES,
        ),
        examples=(
            ("jmem account devices", ""),
            ("jmem account devices --json | jq '.devices[].name'", ""),
            ("jmem account devices revoke old-laptop", "asks first"),
        ),
    ),
    Command(
        "export",
        "Write all that the hosted account keeps to a zip archive.",
        group="account",
        run=_RUN + "export",
        help="Memories with their history as `jmem import` takes them back, API keys and connections without their secrets,\n"
        "devices, activity, and the audit log; README.txt in it says what each file is. The file is there whole or not at\n"
        "all. It needs a sign-in by a person: an API key may not. `jmem export` writes what this machine has.",
        params=(
            Argument("file", "The archive, as account.zip."),
            Option("--force", help="Replace a file of that name.", kind="flag"),
        ),
        examples=(("jmem account export account.zip", ""), ("jmem account export --force account.zip --json", "")),
    ),
    Command(
        "delete",
        "Delete the hosted account with everything in it, for ever.",
        group="account",
        run=_RUN + "delete",
        help="Memories on your machines stay there; they belong to no account from then on. It asks for your address, which\n"
        "--confirm gives in a script.",
        params=(Option("--confirm", help="Your address, to show that it is meant.", metavar="ADDRESS"),),
        examples=(("jmem account delete", ""),),
    ),
)


def devices(args: Args) -> int:
    """Show or revoke."""
    found = args.daemon.request("GET", "/account/devices")["devices"]
    if args.action == "revoke":
        return _revoke(args, found)
    out = args.out
    if out.json:
        out.document({"devices": found})
        return 0
    for device in found:
        behind = "has everything" if not device["behind"] else f"{device['behind']:,} behind"
        if out.human:
            here = " (this one)" if device["here"] else ""
            key = ", by an API key" if device["via"] == "api_key" else ""
            out.line(one_line(f"{device['name'] or device['id']}{here}  {device['platform']}"))
            out.line(out.paint("dim", f"  {device['id']}  last seen {ago(device['last_seen'])}, {behind}{key}"))
        else:
            out.row(device["id"], device["name"], device["last_seen"], str(device["behind"]))
    if not found:
        out.note("no machine has exchanged with the account yet")
    return 0


def _revoke(args: Args, found: list[Document]) -> int:
    if not args.id:
        raise Invalid("which device? say its id", code="usage", fix="jmem account devices")
    device = _named(found, args.id)
    name = one_line(device["name"] or device["id"])
    if not confirmed(args.out, f"Shut out {name}{', this machine' if device['here'] else ''}", args.yes):
        return OK
    args.daemon.request("DELETE", f"/account/devices/{device['id']}")
    if args.out.json:
        args.out.document(device)
    else:
        args.out.note(f"{name} is shut out; what is on it stays there")
    return 0


def _named(found: list[Document], asked: str) -> Document:
    fitting = [device for device in found if asked in (device["id"], device["name"])]
    fitting = fitting or [device for device in found if len(asked) >= 4 and asked in device["id"]]
    if not fitting:
        raise NotFound("there is no such device", code="unknown_device", id=asked, fix="jmem account devices")
    if len(fitting) > 1:
        raise Ambiguous(f"{len(fitting)} devices are called {asked}", code="ambiguous", fix="jmem account devices")
    return fitting[0]


def export(args: Args) -> int:
    """Write the archive as it comes; it takes its name once it is whole."""
    import zipfile

    out, size = args.out, 0
    with Progress(out, "received", unit="KiB") as progress, whole_file(args.file, replace=args.force) as file:
        try:
            for piece in args.daemon.pieces("GET", "/api/v1/account/export"):
                file.write(piece)
                size += len(piece)
                progress.update(size // 1024)
            with zipfile.ZipFile(file) as archive:  # its list stands at its end
                names = archive.namelist()
        except (Unreachable, zipfile.BadZipFile) as error:
            if not size:
                raise
            raise JmemError("the archive did not come whole", code="broken_off", fix="try it again") from error
    if out.json:
        out.document({"path": os.path.abspath(args.file), "bytes": size, "files": names})
    else:
        out.note(f"wrote all that the account keeps to {args.file} ({size:,} bytes)")
    return 0


def delete(args: Args) -> int:
    """Delete it."""
    out = args.out
    who = args.daemon.request("GET", "/account")
    if not who["signed_in"]:
        raise Unauthorized("nobody is signed in on this machine", code="not_signed_in", fix="jmem login")
    confirm = args.confirm
    if confirm is None:
        out.note(
            f"this erases the account {who['email']} at {who['url']} with all memories, keys and connections in it;"
        )
        out.note("nothing brings it back. Memories on your machines stay there.")
        confirm = typed(out, "Your address, to delete the account for ever", "add --confirm ADDRESS")
    answer = args.daemon.request("POST", "/account/delete", {"confirm": confirm})
    if out.json:
        out.document(answer)
    else:
        out.note(
            "the account is deleted" + ("" if answer["complete"] else "; the last of it is removed within minutes")
        )
        out.note("your memories are still on this machine")
    return 0

"""What `jmem clients` and `jmem clients set` do."""

from __future__ import annotations

from typing import Any

from jmem.cli.args import Args
from jmem.cli.text import age
from jmem.core.errors import Invalid
from jmem.core.model import check_client


def show(args: Args) -> int:
    """List the programs."""
    clients = [c for c in args.daemon.clients() if args.revoked or not c.get("revoked")]
    out = args.out
    if out.lines:
        for client in clients:
            out.document(client)
    elif out.json:
        out.document({"clients": clients})
    elif out.human:
        for client in clients:
            _line(args, client)
    else:
        for client in clients:
            out.row(client["name"], _may(client), ",".join(client["tags"] or ()), client.get("last_seen"))
    if not clients and not out.json:
        out.note("no program is connected yet: jmem connect")
    return 0


def _may(client: dict[str, Any]) -> str:
    return "".join(letter if client[name] else "-" for letter, name in (("r", "read"), ("w", "write"), ("d", "delete")))


def _line(args: Args, client: dict[str, Any]) -> None:
    out = args.out
    seen = age(client["last_seen"]) if client.get("last_seen") else ""
    seen = "seen just now" if seen == "now" else f"seen {seen} ago" if seen else "never seen"
    tags = "all tags" if client["tags"] is None else " ".join(f"#{tag}" for tag in client["tags"]) or "no memory at all"
    revoked = out.paint("bad", "disconnected") if client.get("revoked") else ""
    out.line(
        f"{client['name']:<14}  {_may(client)}  {out.paint('tag', tags)}  {out.paint('dim', seen)}  {revoked}".rstrip()
    )


def allow(args: Args) -> int:
    """Change what a program may do."""
    changes: dict[str, Any] = {}
    for right in ("read", "write", "delete"):
        yes, no = getattr(args, right), getattr(args, f"no_{right}")
        if yes and no:
            raise Invalid(f"--{right} and --no-{right} exclude each other", code="usage")
        if yes or no:
            changes[right] = yes
    if args.tag and args.all_tags:
        raise Invalid("--tag and --all-tags exclude each other", code="usage")
    if args.tag or args.all_tags:
        changes["tags"] = list(args.tag) or None
    if not changes:
        raise Invalid("nothing to set", code="usage", fix="jmem clients set --help")
    client = args.daemon.request("PATCH", f"/clients/{check_client(args.name)}", changes)
    if args.out.json:
        args.out.document(client)
    elif args.out.human:
        _line(args, client)
    else:
        args.out.row(client["name"], _may(client), ",".join(client["tags"] or ()), client.get("last_seen"))
    return 0

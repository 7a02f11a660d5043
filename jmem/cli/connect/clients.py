"""What `jmem clients` and `jmem clients set` do."""

from __future__ import annotations

from typing import Any

from jmem.cli.args import Args
from jmem.cli.text import age
from jmem.core.errors import Invalid
from jmem.core.model import check_client

MAX_PER_HOUR = 1_000_000


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
            _row(args, client)
    if not clients and not out.json:
        out.note("no program is connected yet: jmem connect")
    return 0


def _row(args: Args, client: dict[str, Any]) -> None:
    tags, review = ",".join(client["tags"] or ()), "review" if client["review"] else ""
    args.out.row(client["name"], _may(client), tags, client.get("last_seen"), review, client["writes_per_hour"])


def _may(client: dict[str, Any]) -> str:
    return "".join(letter if client[name] else "-" for letter, name in (("r", "read"), ("w", "write"), ("d", "delete")))


def _line(args: Args, client: dict[str, Any]) -> None:
    out = args.out
    seen = age(client["last_seen"]) if client.get("last_seen") else ""
    seen = "seen just now" if seen == "now" else f"seen {seen} ago" if seen else "never seen"
    tags = "all tags" if client["tags"] is None else " ".join(f"#{tag}" for tag in client["tags"]) or "no memory at all"
    rules = [out.paint("warn", "waits for review")] if client["review"] else []
    if client["writes_per_hour"] is not None:
        rules.append(out.paint("dim", f"{client['writes_per_hour']:,} changes an hour"))
    revoked = out.paint("bad", "disconnected") if client.get("revoked") else ""
    out.line(
        "  ".join(
            [f"{client['name']:<14}", _may(client), out.paint("tag", tags), *rules, out.paint("dim", seen), revoked]
        ).rstrip()
    )


def _cap(text: str) -> int | None:
    """The number of --writes-per-hour; None for `none`."""
    if text == "none":
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PER_HOUR and len(text) < 9):
        raise Invalid(
            f"--writes-per-hour {text!r} is neither a number from 1 to {MAX_PER_HOUR:,} nor none", code="usage",
            fix="--writes-per-hour 30   or   none; --no-write lets it write nothing",
        )  # fmt: skip
    return int(text)


def allow(args: Args) -> int:
    """Change what a program may do."""
    changes: dict[str, Any] = {}
    for right in ("read", "write", "delete", "review"):
        yes, no = getattr(args, right), getattr(args, f"no_{right}")
        if yes and no:
            raise Invalid(f"--{right} and --no-{right} exclude each other", code="usage")
        if yes or no:
            changes[right] = yes
    if args.tag and args.all_tags:
        raise Invalid("--tag and --all-tags exclude each other", code="usage")
    if args.tag or args.all_tags:
        changes["tags"] = list(args.tag) or None
    if args.writes_per_hour is not None:
        changes["writes_per_hour"] = _cap(args.writes_per_hour)
    if not changes:
        raise Invalid("nothing to set", code="usage", fix="jmem clients set --help")
    client = args.daemon.request("PATCH", f"/clients/{check_client(args.name)}", changes)
    if args.out.json:
        args.out.document(client)
    elif args.out.human:
        _line(args, client)
    else:
        _row(args, client)
    return 0

"""`jmem import`."""

from __future__ import annotations

import os

from jmem.cli.output import FAILED, OK
from jmem.cli.progress import Progress
from jmem.cli.spec import Argument, Command, Option
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from jmem.cli.args import Args
    from jmem.cli.importing import Tally

COMMAND = Command(
    "import",
    "Bring in memories from a file or a folder.",
    run="jmem.cli.commands.import_:run",
    help="jsonl is one object a line, an export or your own: content, and optionally tags, metadata, source, thread,\n"
    "speaker, occurred_at, client. md is a Markdown file or a folder of them. What is already there is counted, not\n"
    "stored twice, so an import that was cut off is finished by repeating it. Secrets are masked and listed.",
    params=(
        Argument("path", "A file, a folder, or '-' for stdin.", metavar="FILE"),
        Option(
            "--from",
            "-f",
            help="jsonl or md; without it, by the name of the file.",
            dest="format",
            choices=("jsonl", "md"),
        ),
        Option("--dry-run", help="Say what would come in.", kind="flag"),
        Option("--client", "-c", help="The program to store it for, where an item names none.", metavar="NAME"),
        Option("--allow-secret", help="Store secrets as they are.", kind="flag"),
        Option("--refuse-secret", help="Leave out what has a secret in it.", kind="flag"),
    ),
    examples=(
        ("jmem import memories.jsonl", ""),
        ("jmem import notes/ --from md --dry-run", ""),
        ("curl -s https://example.org/facts.jsonl | jmem import - --from jsonl", ""),
    ),
)


def run(args: Args) -> int:
    """Send the items in batches; fails only when nothing of all that was there came in."""
    from jmem.cli.importing import Tally, batches, guess_format

    kind = args.format or guess_format(args.path)
    if kind is None:
        raise Invalid(
            f"{args.path} does not tell its format",
            code="usage",
            fix=f"jmem import {args.path} --from jsonl   or   --from md",
        )
    secrets = "allow" if args.allow_secret else "refuse" if args.refuse_secret else "mask"
    request = {"format": kind, "secrets": secrets, "dry_run": args.dry_run}
    if args.client:
        request["client"] = args.client
    if args.path != "-":
        request["place"] = os.fsencode(os.path.abspath(args.path)).decode(errors="replace")
    tally = Tally()
    total = os.path.getsize(args.path) if os.path.isfile(args.path) else None
    with Progress(args.out, "imported", total) as progress:
        for batch in batches(args.path, kind, tally):
            joined = {} if tally.action is None else {"action": tally.action}
            tally.take(batch, args.daemon.import_items({**request, **joined, "items": batch.items}))
            progress.update(tally.seen, batch.read)
    _report(args, tally)
    return FAILED if tally.skipped and not (tally.added or tally.updated or tally.duplicates) else OK


def _report(args: Args, tally: Tally) -> None:
    out = args.out
    if out.json:
        out.document(tally.document(args.dry_run))
        return
    for _, entry, say, text in sorted(_remarks(args, tally), key=lambda remark: remark[0]):
        name = f"line {entry['item']}" if isinstance(entry["item"], int) else entry["item"]
        say(f"{name}: {text}")
    if out.human:
        would = "would add" if args.dry_run else "added"
        parts = [f"{would} {tally.added:,}", f"{tally.updated:,} brought up to date", f"{tally.duplicates:,} already there",
                 f"{len(tally.masked):,} masked", f"{len(tally.skipped):,} skipped"]  # fmt: skip
        out.line(" · ".join(part for part in parts if part == parts[0] or not part.startswith("0 ")))
    else:
        for name in ("added", "updated", "duplicates"):
            out.row(name, getattr(tally, name))
        out.row("masked", len(tally.masked))
        out.row("skipped", len(tally.skipped))


def _remarks(args: Args, tally: Tally) -> Iterator[tuple[tuple[int, str], dict[str, Any], Callable[[str], None], str]]:
    """Where it belongs in the report, the entry, how loudly to say it, what to say."""
    for entry in tally.skipped:
        yield (
            _place(entry),
            entry,
            args.out.warn,
            _without_line(entry) + (f" ({entry['fix']})" if entry.get("fix") else ""),
        )
    for entry in tally.masked:
        yield _place(entry), entry, args.out.note, f"masked {', '.join(entry['kinds'])}"
    for entry in tally.kept:
        text = f"holds {', '.join(entry['kinds'])} in its history, kept as it was written"
        yield _place(entry), entry, args.out.note, text


def _place(entry: dict[str, Any]) -> tuple[int, str]:
    """Lines by number; files, which have none, by name."""
    item = entry["item"]
    return (item, "") if isinstance(item, int) else (0, str(item))


def _without_line(entry: dict[str, Any]) -> str:
    return str(entry["reason"]).removeprefix(f"line {entry['item']} ")

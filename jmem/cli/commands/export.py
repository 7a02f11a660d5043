"""`jmem export`."""

from __future__ import annotations

import os

from jmem.cli.options import FILTERS, filter_query
from jmem.cli.progress import Progress
from jmem.cli.spec import Command, Option
from jmem.cli.wholefile import whole_file
from jmem.core.errors import Invalid, JmemError
from jmem.wire import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "export",
    "Write memories to a file, or to a folder of Markdown.",
    run="jmem.cli.commands.export:run",
    help="jsonl holds everything, history too, and `jmem import` brings all of it back. md writes a file a memory, with\n"
    "its particulars as front matter. A file is replaced only when the whole export is there.",
    params=(
        Option("--format", "-f", help="jsonl or md.", choices=("jsonl", "md"), default="jsonl"),
        Option("--output", "-o", help="The file (jsonl) or folder (md); without it, stdout.", metavar="FILE"),
        Option("--no-history", help="Without earlier texts.", kind="flag"),
        *FILTERS,
        Option("--deleted", help="Without history: only what was deleted.", kind="flag"),
    ),
    examples=(
        ("jmem export -o memories.jsonl", ""),
        ("jmem export --no-history --tag work | jq -r .content", ""),
        ("jmem export --format md -o notes/", ""),
    ),
)  # fmt: skip


def run(args: Args) -> int:
    """Stream the export to where it goes."""
    query = {
        **filter_query(args), "format": args.format, "history": not args.no_history or "false", "deleted": args.deleted,
    }  # fmt: skip
    if args.format == "md" and not args.output:
        raise Invalid("Markdown goes into a folder", code="usage", fix="jmem export --format md -o FOLDER")
    lines = args.daemon.lines("GET", "/api/v1/export", query=query)
    with Progress(args.out, "exported") as progress:
        if not args.output:
            for count, line in enumerate(lines, start=1):
                args.out.write(line.decode() + "\n")
                if not args.out.stdout_tty:
                    progress.update(count)
            return 0
        if args.format == "md":
            count, kinds = _to_folder(args.output, lines, progress), {}
        else:
            kinds = {"live": 0, "deleted": 0, "forgotten": 0}
            _to_file(args.output, _counted(lines, kinds), progress)
            count = kinds["live"] + kinds["deleted"]
    if args.out.json:
        path = os.path.abspath(args.output)
        args.out.document({"format": args.format, "memories": count, "path": path, **kinds})
    else:
        told = ", ".join(f"{kinds[kind]:,} {kind}" for kind in kinds if kinds[kind])
        which = f" ({told})" if kinds.get("deleted") or kinds.get("forgotten") else ""
        args.out.note(f"exported {count:,} {'memory' if count == 1 else 'memories'}{which} to {args.output}")
    return 0


def _counted(lines: Iterator[bytes], kinds: dict[str, int]) -> Iterator[bytes]:
    """The lines as they are; counts in `kinds` what memories they hold."""
    for line in lines:
        entry: Any = loads(line)
        if "part" not in entry:  # a later part of one that was counted
            kinds["forgotten" if entry.get("purged") else "deleted" if entry.get("deleted") else "live"] += 1
        yield line


def _to_file(path: str, lines: Iterator[bytes], progress: Progress) -> int:
    count = 0
    with whole_file(path) as file:
        for count, line in enumerate(lines, start=1):
            file.write(line + b"\n")
            progress.update(count)
    return count


def _to_folder(folder: str, lines: Iterator[bytes], progress: Progress) -> int:
    """One file an object of the stream, each whole or not there."""
    count = 0
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for count, line in enumerate(lines, start=1):
        entry: Any = loads(line)
        target = os.path.normpath(os.path.join(folder, entry["path"]))
        if not target.startswith(os.path.join(os.path.normpath(folder), "")) and os.path.normpath(folder) != ".":
            raise JmemError(f"the daemon named a path outside of the folder: {entry['path']!r}")
        os.makedirs(os.path.dirname(target) or ".", mode=0o700, exist_ok=True)
        _to_file(target, iter([entry["text"].removesuffix("\n").encode()]), progress)
        progress.update(count)
    return count

"""`jmem add --lines`: many memories, one a line."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.progress import Progress
from jmem.cli.remarks import not_taken
from jmem.cli.render import table
from jmem.core.errors import Invalid, from_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jmem.cli.args import Args

    Numbered = tuple[int, str]

MAX_ITEMS = 500
MAX_BYTES = 4 * 1024 * 1024


def add_lines(args: Args, fields: dict[str, Any]) -> int:
    """Store every line that is not empty, print one id a line (a list on a terminal); the exit code of the first refused line, else 0."""
    if args.infer:
        raise Invalid(
            "--lines stores lines as they are; --infer takes one text", code="usage", fix="jmem add --infer -"
        )
    fields.pop("infer", None)
    code = count = 0
    with Progress(args.out, "added") as progress:
        for group in _groups(_lines(args)):
            results = args.daemon.batch([{"op": "add", **fields, "content": text} for _, text in group], repeat=True)
            for (number, _), result in zip(group, results, strict=True):
                refused = _report(args, number, result, progress, fields)
                code = code or refused
            if args.out.human:
                progress.close()
                table(args.out, [result["memory"] for result in results if result["status"] < 400])
            args.out.flush()
            count += len(group)
            progress.update(count)
    return code


def _lines(args: Args) -> Iterator[list[Numbered]]:
    if args.text and args.text != ("-",):
        lines = [line for text in args.text for line in text.splitlines()]
        yield list(enumerate(lines, start=1))
        return
    if stdin.is_terminal() and not args.text:
        raise Invalid("--lines reads stdin", code="usage", fix="jmem add --lines - < FILE")
    number = 1
    for group in stdin.read_lines():
        yield list(enumerate(group, start=number))
        number += len(group)


def _groups(arriving: Iterator[list[Numbered]]) -> Iterator[list[Numbered]]:
    """Batches within the daemon's limits, no larger than what has arrived."""
    for lines in arriving:
        group: list[Numbered] = []
        size = 0
        for number, text in lines:
            if not text.strip():
                continue
            wide = len(text.encode("utf-8", "surrogatepass"))
            if group and (len(group) >= MAX_ITEMS or size + wide > MAX_BYTES):
                yield group
                group, size = [], 0
            group.append((number, text))
            size += wide
        if group:
            yield group


def _report(args: Args, number: int, result: dict[str, Any], progress: Progress, fields: dict[str, Any]) -> int:
    out = args.out
    if result["status"] < 400:
        if out.json:
            out.document(result["memory"])
        elif not out.human:
            out.line(result["memory"]["id"])
        if result["memory"].get("differs"):
            progress.close()
            not_taken(out, result["memory"], fields, f"line {number}: ")
        return 0
    error = from_problem(result["problem"])
    progress.close()
    out.warn(f"line {number}: {error.message}" + (f" ({error.fix})" if error.fix else ""))
    return error.exit_code

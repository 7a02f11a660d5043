"""Everything in and out: import in batches, export as a stream."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

from daemon import replies
from daemon.http import NDJSON, Answer, Call, Routes, Stream, json_answer
from jmem.core.access import Access
from jmem.core.errors import Invalid, TooLarge
from jmem.core.model import check_text, now_iso
from jmem.core.rules import MAX_FOLDER_CHARS
from jmem.core.wire.asks import ExportQuery, ImportAsk
from jmem.core.wire.common import export_detail, export_filter

routes = Routes("portable")

PIECE_BYTES = 64 * 1024


@routes.route("POST", "/import", ImportAsk, "Import up to 1,000 items", answers={200: replies.Imported},
              problems=(413, 507), writes=True)  # fmt: skip
def import_(call: Call, ask: ImportAsk) -> Answer:
    """Each item stands for itself: a bad one is in `skipped` with its reason. Repeating an import adds nothing twice."""
    from jmem.core.portable.importing import import_items

    report = import_items(
        call.user.service, ask.items, call.actor, format=ask.format, secrets=ask.secrets, client=ask.client,
        action=ask.action, dry_run=ask.dry_run, files=_files(ask),
    )  # fmt: skip
    return json_answer(report.as_dict())


def _files(ask: ImportAsk) -> list[str]:
    """The file that each item is from, links followed; none where nobody says. Raises Invalid."""
    if ask.place is None:
        return []
    place = Path(check_text(ask.place, "place", MAX_FOLDER_CHARS))
    if ask.format == "jsonl" or not place.is_dir():
        return [os.path.realpath(place)] * len(ask.items)
    return [os.path.realpath(place / _path(item)) for item in ask.items]


def _path(item: object) -> str:
    try:
        return check_text(item["path"], "path", MAX_FOLDER_CHARS) if isinstance(item, dict) else ""
    except (KeyError, Invalid, TooLarge):  # the item is refused for it
        return ""


@routes.route("GET", "/export", ExportQuery, "Export everything", answers={200: NDJSON}, problems=(404, 507))
def export(call: Call, ask: ExportQuery) -> Stream:
    """A line a memory, from one moment of the store. Without filters and with history nothing is left out."""
    from jmem.core.portable.exporting import export_jsonl, export_markdown

    filter = call.actor.narrow(export_filter(ask))
    memory, now = call.user, now_iso()
    if ask.format == "md":
        lines = export_markdown(memory.store, filter, now)
    else:
        lines = export_jsonl(memory.store, filter, now, history=ask.history)
    memory.access.record(Access(call.actor.client, "export", detail=export_detail(ask)))
    pieces = _pieces(lines)
    # the first piece before the answer begins, so that a store that can't be read is still told by a status
    return Stream(_with(next(pieces, b""), pieces), NDJSON)


def _with(first: bytes, rest: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """`first` and then the rest; closing it closes the snapshot that the rest is read from."""
    try:
        yield first
        yield from rest
    finally:
        rest.close()


def _pieces(lines: Generator[str, None, None]) -> Generator[bytes, None, None]:
    gathered: list[bytes] = []
    size = 0
    try:
        for line in lines:
            gathered.append(line.encode() + b"\n")
            size += len(gathered[-1])
            if size >= PIECE_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
        if gathered:
            yield b"".join(gathered)
    finally:
        lines.close()

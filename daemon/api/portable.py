"""Everything in and out: import in batches, export as a stream."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from daemon.http import NDJSON, Answer, Call, Routes, Stream, json_answer
from jmem.core.access import Access
from jmem.core.filter import Filter
from jmem.core.model import MAX_BATCH, now_iso
from jmem.core.wire import answers
from jmem.core.wire.asks import ClientName, Privacy, Secrets, StateOrAll, When
from jmem.core.wire.base import Ask, Query
from jmem.core.wire.common import make_filter, states_of

routes = Routes("portable")

PIECE_BYTES = 64 * 1024


class ImportAsk(Ask):
    """Items of a file: objects of a JSONL file, or `{"path", "text"}` of Markdown files."""

    format: Literal["jsonl", "md"] = "jsonl"
    items: Annotated[tuple[Any, ...], Field(json_schema_extra={"minItems": 1, "maxItems": MAX_BATCH},
                                            examples=[[{"content": "I prefer aisle seats"}]])]  # fmt: skip
    secrets: Secrets = "mask"
    dry_run: bool = Field(False, description="report what would happen, change nothing")
    client: ClientName | None = Field(None, description="of items that name none")
    action: int | None = Field(
        None, ge=1, le=2**63 - 1, description="what the batch before it answered: undo then takes both back"
    )


class ExportQuery(Query):
    """What is exported, and as what."""

    format: Literal["jsonl", "md"] = "jsonl"
    history: bool = Field(True, description="with every change (jsonl): imports bring all of it back")
    tag: tuple[str, ...] = Field((), description="every one of them")
    client: tuple[str, ...] = ()
    state: StateOrAll = "all"
    deleted: bool = Field(False, description="without history: the deleted ones instead")
    since: When | None = None
    until: When | None = None
    privacy: Privacy | None = None
    thread: str | None = None
    source: str | None = None


@routes.route("POST", "/import", ImportAsk, "Import up to 1,000 items", answers={200: answers.Imported},
              problems=(413, 507), writes=True)  # fmt: skip
def import_(call: Call, ask: ImportAsk) -> Answer:
    """Each item stands for itself: a bad one is in `skipped` with its reason. Repeating an import adds nothing twice."""
    from jmem.core.portable.importing import import_items

    report = import_items(
        call.user.service, ask.items, call.actor, format=ask.format, secrets=ask.secrets, client=ask.client,
        action=ask.action, dry_run=ask.dry_run,
    )  # fmt: skip
    return json_answer(report.as_dict())


@routes.route("GET", "/export", ExportQuery, "Export everything", answers={200: NDJSON}, problems=(404, 507))
def export(call: Call, ask: ExportQuery) -> Stream:
    """A line a memory, from one moment of the store. Without filters and with history nothing is left out."""
    from jmem.core.portable.exporting import EVERYTHING, export_jsonl, export_markdown

    filter = make_filter(
        tags=ask.tag, clients=ask.client, states=states_of(ask.state), since=ask.since, until=ask.until,
        privacy=ask.privacy, thread=ask.thread, source=ask.source, deleted=ask.deleted,
    )  # fmt: skip
    if ask.state == "all" or ask.deleted:
        filter = replace(filter, states=EVERYTHING.states)
    filter = call.actor.narrow(filter)
    memory, now = call.user, now_iso()
    if ask.format == "md":
        lines = export_markdown(memory.store, filter, now)
    else:
        lines = export_jsonl(memory.store, filter, now, history=ask.history)
    memory.access.record(Access(call.actor.client, "export", detail={"format": ask.format, **_told(filter)}))
    pieces = _pieces(lines)
    # the first piece before the answer begins, so that a store that can't be read is still told by a status
    return Stream(_with(next(pieces, b""), pieces), NDJSON)


def _told(filter: Filter) -> dict[str, Any]:
    return {name: value for name in ("tags", "clients", "thread", "source") if (value := getattr(filter, name))}


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

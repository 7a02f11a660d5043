"""Memories in: every item stands for itself, a bad one is reported and stops no other.

A record is added, found to be here already, edits the memory it was exported from, or, with its ops, is
merged with what is here. Nothing here is lost to an import: it brings back no deleted memory, and it
forgets none that lives here, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core import foreign, origins
from jmem.core.access import Access
from jmem.core.actor import Actor
from jmem.core.asked import asked
from jmem.core.duplicates import equal_memory
from jmem.core.edits import DEFAULTS
from jmem.core.errors import Conflict, Invalid, JmemError
from jmem.core.merge import fold
from jmem.core.model import MAX_BATCH, Memory, check_client, check_field, new_id, now_iso
from jmem.core.portable import jsonl, markdown
from jmem.core.portable.records import Record
from jmem.core.secrets import guard, masked
from jmem.core.service import MemoryService
from jmem.core.store import Tx, memory_of, oplog

FORMATS = {"jsonl": jsonl.parse_item, "md": markdown.parse_item}
COMMIT_EVERY = 250
"""Records in one commit: other writers get their turn between two of them."""
_COMPARED = ("content", "tags", "metadata", "state", "occurred_at", "expires_at", "source", "thread", "speaker")


@dataclass(slots=True)
class Report:
    """What became of the items: counts of memories, and lists of `{"item": index, …}`."""

    added: int = 0
    updated: int = 0
    duplicates: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)
    masked: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    """secrets that came within a history and were left as they are"""
    action: int | None = None
    """what undo takes back; given to the next batch of one file, that joins it"""
    purged: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The shape of POST /import."""
        return {
            "added": self.added, "updated": self.updated, "duplicates": self.duplicates, "skipped": self.skipped,
            "masked": self.masked, "kept": self.kept, "action": self.action,
        }  # fmt: skip

    def take(self, other: Report) -> None:
        """Add the outcome of the next commit."""
        self.added += other.added
        self.updated += other.updated
        self.duplicates += other.duplicates
        self.skipped += other.skipped
        self.masked += other.masked
        self.kept += other.kept
        self.purged += other.purged
        self.action = other.action

    def skip(self, item: int, error: JmemError) -> None:
        """Report an item that was not taken."""
        self.skipped.append({"item": item, "code": error.code, "reason": error.message,
                             **({"fix": error.fix} if error.fix else {})})  # fmt: skip


def import_items(
    service: MemoryService, items: Sequence[Any], actor: Actor, *, format: str = "jsonl", secrets: str = "mask",
    client: str | None = None, action: int | None = None, dry_run: bool = False, files: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Take in up to 1,000 items of a format ("jsonl": objects, "md": `{"path", "text"}`).

    `secrets`: "mask" stores a new text with its secrets masked, "refuse" skips it, "allow" leaves it alone; ops
    are never altered, since their digests would not fit them any more. `client` is for items that name none.
    `files` are the paths of the files of this machine that the items are from, one for each item, or none at all.
    `dry_run` reports what would happen and changes nothing. Raises Invalid, TooLarge, Refused, StorageFailed.
    """
    with asked(service.access, actor, "import"):
        actor.may("everything")
    if format not in FORMATS:
        raise Invalid(f"format must be one of {', '.join(FORMATS)}", field="format")
    if not 1 <= len(items) <= MAX_BATCH:
        raise Invalid(f"give 1 to {MAX_BATCH:,} items", field="items", limit=MAX_BATCH)
    guard({}, secrets)  # checks the mode
    run = _Run(actor, check_client(client) if client is not None else actor.client, secrets, dry_run, files)
    report = Report(action=action)
    records = list(_records(items, format, report))
    step = len(records) if dry_run else COMMIT_EVERY
    for start in range(0, len(records), step or 1):
        part, joined = records[start : start + step], report.action
        try:
            report.take(service.store.write(lambda tx, part=part, joined=joined: run.take(tx, part, joined)))  # type: ignore[misc]
        except _DryRun as dry:
            report.take(dry.report)
    report.skipped.sort(key=lambda entry: entry["item"])
    if report.purged:
        service.finish_purges()
    if not dry_run:
        counts = {"added": report.added, "updated": report.updated}
        service.access.record(Access(actor.client, "import", detail=counts))
    return report


def _records(items: Sequence[Any], format: str, report: Report) -> Iterator[tuple[int, Record]]:
    for index, item in enumerate(items):
        try:
            for record in FORMATS[format](item):
                yield index, record
        except JmemError as error:
            report.skip(index, error)


class _DryRun(Exception):
    def __init__(self, report: Report) -> None:
        self.report = report


@dataclass(frozen=True, slots=True)
class _Run:
    """One import while it runs inside the writer."""

    actor: Actor
    client: str
    secrets: str
    dry_run: bool
    files: Sequence[str]

    def take(self, tx: Tx, records: Sequence[tuple[int, Record]], action: int | None) -> Report:
        """Take the records in; a failing one leaves nothing behind."""
        if not _joins(tx, action):
            action = oplog.begin_action(tx, self.actor.client, "import")
        report = Report(action=action)
        for index, record in records:
            try:
                self._one(tx, report, index, record)
            except JmemError as error:
                report.skip(index, error)
        if action in tx.actions:
            report.action = None  # an action is stored with its first op
        if self.dry_run:
            report.action, report.purged = None, []
            raise _DryRun(report)
        return report

    def _one(self, tx: Tx, report: Report, index: int, record: Record) -> None:
        assert report.action is not None
        if record.id is not None and oplog.is_purged(tx.conn, record.id):
            if record.ops and any(op.purge for op in record.ops):
                self._merge(tx, report, index, record.id, record)
                return
            raise Conflict("it was forgotten for ever here", code="purged", fix="leave out its id to add it anew")
        if record.ops:
            assert record.id is not None
            self._merge(tx, report, index, record.id, record)
            return
        held = memory_of(tx.conn, record.id) if record.id is not None else None
        if held is not None:
            self._edit(tx, report, index, held, record)
        else:
            self._add(tx, report, index, record)

    def _add(self, tx: Tx, report: Report, index: int, record: Record) -> None:
        fields = {name: value for name, value in record.fields.items() if DEFAULTS.get(name, ...) != value}
        fields = self._screened(report, index, fields)
        equal = equal_memory(tx.conn, fields, self.actor, now_iso())
        if equal is not None:
            self._note_file(tx, index, equal.id)
            report.duplicates += 1
            return
        fields.setdefault("client", self.client)
        fields.setdefault("created_at", now_iso())
        assert report.action is not None
        id = record.id or new_id()
        oplog.write(tx, report.action, id, fields, self.actor.client, fresh=record.id is None)
        self._note_file(tx, index, id)
        report.added += 1

    def _edit(self, tx: Tx, report: Report, index: int, held: Memory, record: Record) -> None:
        """Bring over what differs in the file from what the file started from (its version), else from the memory."""
        given = {name: record.fields[name] for name in _COMPARED if name in record.fields}
        if record.complete:
            given = {name: DEFAULTS.get(name) for name in _COMPARED} | given
        if record.fields.get("privacy", held.privacy) != held.privacy:
            raise Invalid("its privacy is another one here", code="privacy_differs",
                          fix=f"jmem edit {held.id} --local, or --synced")  # fmt: skip
        then = _values_at(tx, held, record.version)
        changes = {
            name: value for name, value in given.items()
            if value != then.get(name) and value != _value(held, name)
        }  # fmt: skip
        if held.deleted:
            raise Conflict("it was deleted here", code="deleted", fix=f"jmem restore {held.id}")
        self._note_file(tx, index, held.id)
        if not changes:
            report.duplicates += 1
            return
        assert report.action is not None
        oplog.write(tx, report.action, held.id, self._screened(report, index, changes), self.actor.client)
        report.updated += 1

    def _merge(self, tx: Tx, report: Report, index: int, id: str, record: Record) -> None:
        """Merge the ops of a whole line: all of them or, where one is refused, none."""
        assert report.action is not None
        held = memory_of(tx.conn, id)
        purges = any(op.purge for op in record.ops)
        if purges and held is not None:
            raise Conflict("it was forgotten for ever where the file comes from, and is kept here", code="purged",
                           fix=f"jmem rm {id} --purge   forgets it here too")  # fmt: skip
        self._note_secrets(report, index, record)
        changed = _apply(tx, record, report.action)
        if purges:
            report.purged.append(id)
        else:
            self._note_file(tx, index, id)
        if held is not None and held.deleted and not changed and not _deleted(record):
            raise Conflict("it was deleted here", code="deleted", fix=f"jmem restore {id}")
        if record.continued:
            return  # counted with its first line
        if not changed:
            report.duplicates += 1
        elif held is None:
            report.added += 1
        else:
            report.updated += 1

    def _note_file(self, tx: Tx, index: int, id: str) -> None:
        if self.files:
            origins.note(tx, id, self.files[index])

    def _screened(self, report: Report, index: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        clean, kinds = guard(fields, self.secrets)
        if kinds:
            report.masked.append({"item": index, "kinds": kinds})
            clean = {name: check_field(name, value) for name, value in clean.items()}
        return clean

    def _note_secrets(self, report: Report, index: int, record: Record) -> None:
        if self.secrets == "allow":
            return
        kinds = {kind for op in record.ops for value in op.set.values() if isinstance(value, str)
                 for kind in masked(value)[1]}  # fmt: skip
        if not kinds:
            return
        if self.secrets == "refuse":
            guard({"content": "\n".join(str(op.set.get("content", "")) for op in record.ops)}, "refuse")
        report.kept.append({"item": index, "kinds": sorted(kinds)})


def _apply(tx: Tx, record: Record, action: int) -> int:
    """Apply a line's ops; how many were not known. Where one is refused none stays."""
    # a purge first, so that the other ops arrive as blank as they are
    ops = sorted(record.ops, key=lambda op: not op.purge)
    with tx.savepoint():
        intake = foreign.Intake(tx, ops, action)
        applied = [intake.take(op) for op in ops].count("applied")
        intake.finish()
        return applied


def _joins(tx: Tx, action: int | None) -> bool:
    """Whether a batch may go on with an action: an import that was not undone."""
    sql = "SELECT 1 FROM actions WHERE id = ? AND kind = 'import' AND undone_by IS NULL"
    return action is not None and tx.conn.execute(sql, (action,)).fetchone() is not None


def _value(memory: Memory, name: str) -> Any:
    value = getattr(memory, name)
    return list(value) if name == "tags" else value


def _values_at(tx: Tx, held: Memory, version: str | None) -> dict[str, Any]:
    """The fields as they stood at a version; as they stand now when there is none, or an unknown one."""
    if version is None or version >= held.version:
        return {name: _value(held, name) for name in _COMPARED}
    then = fold(op for op in oplog.ops_of(tx.conn, held.id) if op.stamp <= version).registers
    if "content" not in then:
        return {name: _value(held, name) for name in _COMPARED}
    return {name: then[name][1] if name in then else DEFAULTS.get(name) for name in _COMPARED}


def _deleted(record: Record) -> bool:
    return bool(fold(record.ops).registers.get("deleted", ("", False))[1])

"""Several operations as one action: each stands or falls by itself, all are undone together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jmem.core import writes
from jmem.core.actor import Actor
from jmem.core.drafts import checked_fields, draft_of
from jmem.core.errors import Invalid, JmemError
from jmem.core.receipts import BatchResult
from jmem.core.store import Tx


def run(
    tx: Tx, action: int, operations: Sequence[Mapping[str, Any]], actor: Actor
) -> tuple[list[BatchResult], list[str]]:
    """The results in order, and the ids whose other places a purge still has to reach."""
    results: list[BatchResult] = []
    purged: list[str] = []
    for operation in operations:
        try:
            with tx.savepoint():
                result = _one(tx, action, operation, actor)
        except JmemError as error:
            result = BatchResult(error.status, error=error)
        purged += [id for id in (result.purged, result.replaces) if id is not None]
        results.append(result)
    return results, purged


def _one(tx: Tx, action: int, operation: Mapping[str, Any], actor: Actor) -> BatchResult:
    values = dict(operation)
    op = values.pop("op", None)
    if op == "add":
        actor.may("write")
        draft = draft_of(values)
        added = writes.add(tx, action, draft, checked_fields(draft, actor), actor)
        return BatchResult(
            200 if added.duplicate else 201, added.memory, duplicate=added.duplicate, differs=added.differs
        )
    if op not in ("edit", "delete", "restore", "purge"):
        raise Invalid("op must be one of add, edit, delete, restore, purge", field="op")
    id = values.pop("id", None)
    if not isinstance(id, str):
        raise Invalid("id is missing", field="id")
    if op == "edit":
        actor.may("read", "write")
        version, secrets = values.pop("version", None), values.pop("secrets", "refuse")
        edited = writes.edit(tx, action, id, values, actor, version, secrets)
        return BatchResult(200, edited.memory, replaces=edited.replaces)
    rev = values.pop("rev", None) if op == "restore" else None
    if values:
        raise Invalid(f"{op} takes no field {sorted(values)[0]!r}", code="unknown_field", field=sorted(values)[0])
    if op == "restore":
        actor.may("read", "write", *(() if rev is None else ("every_tag",)))
        return BatchResult(200, writes.restore(tx, action, id, actor, None if rev is None else str(rev)).memory)
    actor.may("delete")
    if op == "delete":
        return BatchResult(200, deleted=writes.delete(tx, action, id, actor))
    return BatchResult(200, purged=writes.purge(tx, action, id, actor))

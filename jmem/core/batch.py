"""Several operations as one action: each stands or falls by itself, all are undone together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jmem.core import writes
from jmem.core.actor import Actor
from jmem.core.drafts import checked_fields
from jmem.core.errors import JmemError
from jmem.core.operations import Add, Delete, Edit, Purge, Restore, operation_of
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
    match operation_of(operation, actor):
        case Add(draft):
            added = writes.add(tx, action, draft, checked_fields(draft, actor), actor)
            status = 200 if added.duplicate else 201
            return BatchResult(status, added.memory, duplicate=added.duplicate, differs=added.differs)
        case Edit(id, changes, version, secrets):
            edited = writes.edit(tx, action, id, changes, actor, version, secrets)
            return BatchResult(200, edited.memory, replaces=edited.replaces)
        case Restore(id, rev):
            return BatchResult(200, writes.restore(tx, action, id, actor, rev).memory)
        case Delete(id):
            return BatchResult(200, deleted=writes.delete(tx, action, id, actor))
        case Purge(id):
            return BatchResult(200, purged=writes.purge(tx, action, id, actor))

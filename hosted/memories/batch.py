"""Several operations as one action: each stands or falls by itself, all are undone together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hosted.memories import writes
from jmem.core.actor import Actor
from jmem.core.errors import JmemError
from jmem.core.operations import Add, Delete, Edit, Purge, Restore, operation_of
from jmem.core.receipts import BatchResult

if TYPE_CHECKING:
    from hosted.ops.writer import Action, Writer


async def run(
    writer: Writer, action: Action, operations: Sequence[Mapping[str, Any]], actor: Actor
) -> list[BatchResult]:
    """The results in order; each operation stands or falls by itself, since it checks before it writes."""
    results: list[BatchResult] = []
    for operation in operations:
        await asyncio.sleep(0)  # others get their turn: what is refused is checked and never waits for the database
        try:
            results.append(await _one(writer, action, operation, actor))
        except JmemError as error:
            results.append(BatchResult(error.status, error=error))
    return results


async def _one(writer: Writer, action: Action, operation: Mapping[str, Any], actor: Actor) -> BatchResult:
    match operation_of(operation, actor):
        case Add(draft):
            (added,) = await writes.add_all(writer, action, [(draft, writes.checked(draft, actor))], actor)
            if isinstance(added, JmemError):
                raise added
            status = 200 if added.duplicate else 201
            return BatchResult(status, added.memory, duplicate=added.duplicate, differs=added.differs)
        case Edit(id, changes, version, secrets):
            return BatchResult(200, (await writes.edit(writer, action, id, changes, actor, version, secrets)).memory)
        case Restore(id, rev):
            return BatchResult(200, (await writes.restore(writer, action, id, actor, rev)).memory)
        case Delete(id):
            return BatchResult(200, deleted=await writes.delete(writer, action, id, actor))
        case Purge(id):
            return BatchResult(200, purged=await writes.purge(writer, action, id, actor))

"""The changes of single memories, each inside a transaction and an open action: add, edit, delete, restore.

Whatever makes them (a command, a batch, an import) they end here, as ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from jmem.core import edits, ids, origins, quota
from jmem.core.actor import Actor
from jmem.core.chain import as_seen
from jmem.core.drafts import Added, Draft
from jmem.core.duplicates import equal_memory
from jmem.core.edits import Edited
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.merge import Registers, fold
from jmem.core.model import Memory, new_id, now_iso
from jmem.core.secrets import screened
from jmem.core.store import Tx, oplog, rows


def add(
    tx: Tx, action: int, draft: Draft, fields: dict[str, Any], actor: Actor, id: str | None = None
) -> Added:  # fmt: skip
    """Store a checked draft (as `id`), or return the equal memory that the actor can read already."""
    equal = equal_memory(tx.conn, fields, actor, now_iso())
    if equal is not None:
        return Added(_seen(tx, equal, actor), duplicate=True, differs=edits.differs(equal, draft, fields))
    if draft.supersedes is not None:
        fields = {**fields, "supersedes": ids.resolve(tx.conn, draft.supersedes, actor)}
        _check_link(tx, fields, fields.get("privacy", "synced"))
    quota.spend(tx, actor)
    memory = oplog.write(tx, action, id or new_id(), fields, actor.client, fresh=True)
    assert memory is not None
    return Added(memory)


def edit(
    tx: Tx, action: int, part: str, changes: Mapping[str, Any], actor: Actor, expected: str | None = None,
    secrets: str = "refuse",
) -> Edited:  # fmt: skip
    """Change fields of a memory; raises Conflict `changed` when `expected` is not its version any more, SecretFound."""
    memory = ids.load(tx.conn, ids.resolve(tx.conn, part, actor))
    actor.may_change(memory)
    edits.check_version(memory, expected)
    resolve = partial(ids.resolve, tx.conn, actor=actor, deleted=True)
    fields = screened(edits.changed_fields(memory, changes, actor, resolve), secrets)
    if not fields:
        return Edited(_seen(tx, memory, actor), changed=False)
    edits.check_review(memory, fields, actor)
    _check_link(tx, fields, fields.get("privacy", memory.privacy))
    quota.spend(tx, actor)
    if "privacy" in fields:
        return _move(tx, memory, fields, actor)
    return Edited(_written(tx, action, memory.id, fields, actor))


def _check_link(tx: Tx, fields: Mapping[str, Any], privacy: str) -> None:
    """What is synced can't name what is only here: the id would leave with it. Raises Invalid `privacy_differs`."""
    if privacy != "local" and _stays(tx, fields.get("supersedes")):
        raise Invalid("what is synced can't supersede what is only on this machine", code="privacy_differs",
                      field="supersedes", fix="make it local too, or leave supersedes out")  # fmt: skip


def _stays(tx: Tx, id: str | None) -> bool:
    found = tx.conn.execute("SELECT 1 FROM memories WHERE id = ? AND privacy = 'local'", (id,)).fetchone()
    return found is not None


def _written(tx: Tx, action: int, id: str, fields: Mapping[str, Any], actor: Actor) -> Memory:
    memory = oplog.write(tx, action, id, fields, actor.client)
    assert memory is not None
    return _seen(tx, memory, actor)


def _seen(tx: Tx, memory: Memory, actor: Actor) -> Memory:
    """What the actor is told of a memory that it sees."""
    return as_seen([(tx.conn, actor.narrow(Filter()))], [memory])[0]


def _move(tx: Tx, memory: Memory, fields: Mapping[str, Any], actor: Actor) -> Edited:
    """Give a memory whose privacy changes a new id without the old history, and forget the old id for ever."""
    held = rows.read_registers(tx.conn, memory.id)
    assert held is not None
    started = edits.moved_fields(memory, fields, held.registers)
    if started.get("privacy") != "local" and _stays(tx, started.get("supersedes")):
        del started["supersedes"]
    # an action of its own: taking the rest of a batch back must not hide what can't come back as it was
    id, own = new_id(), oplog.begin_action(tx, actor.client, "privacy")
    moved = oplog.write(tx, own, id, started, actor.client, fresh=True)
    assert moved is not None
    origins.carry(tx, memory.id, id)
    found = tx.conn.execute("SELECT id, privacy FROM memories WHERE supersedes = ?", (memory.id,)).fetchall()
    for other, privacy in found:
        named = id if privacy == "local" or moved.privacy != "local" else None
        oplog.write(tx, own, other, {"supersedes": named}, actor.client)
    oplog.write(tx, own, memory.id, {}, actor.client, purge=True)
    return Edited(_seen(tx, moved, actor), replaces=memory.id)


def delete(tx: Tx, action: int, part: str, actor: Actor) -> str:
    """Hide a memory until it is restored; its id. Raises NotFound, also when it is deleted already."""
    id = ids.resolve(tx.conn, part, actor)
    if actor.review:
        actor.may_change(ids.load(tx.conn, id))
    quota.spend(tx, actor)
    oplog.write(tx, action, id, {"deleted": True}, actor.client)
    return id


def purge(tx: Tx, action: int, part: str, actor: Actor) -> str:
    """Forget a memory for ever; its id. Raises NotFound."""
    id = ids.resolve(tx.conn, part, actor, deleted=True)
    if actor.review:
        actor.may_change(ids.load(tx.conn, id))
    quota.spend(tx, actor)
    oplog.write(tx, action, id, {}, actor.client, purge=True)
    return id


def restore(tx: Tx, action: int, part: str, actor: Actor, rev: str | None = None) -> Edited:
    """Bring a deleted memory back, or give a memory the fields it had at a revision (a stamp or a part of one).

    Raises NotFound for an unknown memory or revision.
    """
    id = ids.resolve(tx.conn, part, actor, deleted=True)
    memory = ids.load(tx.conn, id)
    actor.may_change(memory)
    then: Registers | None = None
    if rev is not None:
        log = oplog.ops_of(tx.conn, memory.id)
        upto = edits.revision(memory, [op.stamp for op in log], rev)
        then = fold(op for op in log if op.stamp <= upto).registers
    fields = edits.restored(memory, then, actor)
    if not fields:
        return Edited(_seen(tx, memory, actor), changed=False)
    edits.check_review(memory, fields, actor)
    quota.spend(tx, actor)
    return Edited(_written(tx, action, id, fields, actor))

"""The changes of single memories, each inside a transaction and an open action: add, edit, delete, restore.

Whatever makes them (a command, a batch, an import) they end here, as ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jmem.core import ids, quota
from jmem.core.actor import Actor
from jmem.core.drafts import Added, Draft
from jmem.core.duplicates import equal_memory
from jmem.core.errors import Conflict, Invalid, NotFound, Refused
from jmem.core.model import FIELDS, Memory, check_field, check_tags, new_id, now_iso
from jmem.core.secrets import screened
from jmem.core.store import MEMORY_COLUMNS, Tx, oplog, row_memory, rows

EDITABLE = frozenset(
    ("content", "tags", "add_tags", "remove_tags", "metadata", "state", "privacy", "occurred_at", "expires_at",
     "source", "thread", "speaker", "supersedes")
)  # fmt: skip
DEFAULTS: Mapping[str, Any] = {
    "tags": [], "metadata": {}, "state": "active", "deleted": False, "occurred_at": None, "expires_at": None,
    "privacy": "synced", "source": None, "thread": None, "speaker": None, "supersedes": None,
}  # fmt: skip
"""What a field counts as while no op has set it; content, client and created_at come with every add."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The memory after an edit. `replaces`: the old id, when a change of privacy gave it a new one."""

    memory: Memory
    changed: bool = True
    replaces: str | None = None


def load(tx: Tx, id: str) -> Memory:
    """The row of a whole id; raises NotFound."""
    row = tx.conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE m.id = ?", (id,)).fetchone()
    if row is None:
        raise ids.missing(tx.conn, id)
    return row_memory(row)


def add(tx: Tx, action: int, draft: Draft, fields: dict[str, Any], actor: Actor) -> Added:
    """Store a checked draft, or return the equal memory that the actor can read already."""
    equal = equal_memory(tx.conn, fields, actor, now_iso())
    if equal is not None:
        return Added(equal, duplicate=True, differs=_differs(equal, draft, fields))
    if draft.supersedes is not None:
        fields = {**fields, "supersedes": ids.resolve(tx.conn, draft.supersedes, actor)}
    quota.spend(tx, actor)
    id = new_id()
    memory = oplog.write(tx, action, id, fields, actor.client, fresh=True)
    assert memory is not None
    return Added(memory)


def _differs(equal: Memory, draft: Draft, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The given fields that would be lost; tags and metadata the memory has beyond the given ones lose nothing."""
    lost = [name for name in ("privacy", "expires_at", "source", "state")
            if name in fields and fields[name] != getattr(equal, name)]  # fmt: skip
    if draft.state == "active" and "state" in lost:
        lost.remove("state")  # nobody gave it: what the client writes waits for review
    if draft.tags and not set(fields["tags"]) <= set(equal.tags):
        lost.append("tags")
    given = fields.get("metadata", {})
    if any(name not in equal.metadata or equal.metadata[name] != value for name, value in given.items()):
        lost.append("metadata")
    return tuple(sorted(lost))


def edit(
    tx: Tx, action: int, part: str, changes: Mapping[str, Any], actor: Actor, expected: str | None = None,
    secrets: str = "refuse",
) -> Edited:  # fmt: skip
    """Change fields of a memory; raises Conflict `changed` when `expected` is not its version any more, SecretFound."""
    memory = load(tx, ids.resolve(tx.conn, part, actor))
    actor.may_change(memory)
    if expected is not None and expected != memory.version:
        raise Conflict(f"memory {memory.id} was changed since it was read", code="changed", id=memory.id,
                       version=memory.version, fix="read it again, then repeat the change")  # fmt: skip
    fields = screened(_changed_fields(tx, memory, changes, actor), secrets)
    if not fields:
        return Edited(memory, changed=False)
    _check_review(memory, fields, actor)
    quota.spend(tx, actor)
    if "privacy" in fields:
        return _move(tx, memory, fields, actor)
    return Edited(_written(tx, action, memory.id, fields, actor))


def _changed_fields(tx: Tx, memory: Memory, changes: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    """The fields whose value differs from what stands, each in its stored form."""
    if unknown := sorted(set(changes) - EDITABLE):
        raise Invalid(f"a memory has no field {unknown[0]!r} that can be edited", code="unknown_field",
                      field=unknown[0], fix="leave it out, or put it into metadata")  # fmt: skip
    wanted = {name: value for name, value in changes.items() if name not in ("add_tags", "remove_tags")}
    if "add_tags" in changes or "remove_tags" in changes:
        gone = set(check_tags(changes.get("remove_tags") or ()))
        kept = [tag for tag in check_tags(wanted.get("tags", memory.tags)) if tag not in gone]
        wanted["tags"] = [*kept, *check_tags(changes.get("add_tags") or ())]
    if wanted.get("supersedes") is not None:
        wanted["supersedes"] = ids.resolve(tx.conn, wanted["supersedes"], actor, deleted=True)
        if wanted["supersedes"] == memory.id:
            raise Invalid("a memory can't supersede itself", field="supersedes")
    fields: dict[str, Any] = {}
    for name, value in wanted.items():
        stored = check_field(name, value)
        held = getattr(memory, name)
        if stored != (list(held) if name == "tags" else held):
            fields[name] = stored
    if "tags" in fields and not actor.sees(fields["tags"]):
        raise Refused(f"{actor.client} can't take away the tag it may see the memory by", code="out_of_scope",
                      field="tags", client=actor.client)  # fmt: skip
    return fields


def _check_review(memory: Memory, fields: Mapping[str, Any], actor: Actor) -> None:
    """What waits for review can't be accepted by the client that it waits for."""
    if actor.review and "state" in fields:
        raise Refused(f"{actor.client} can't accept what it wrote itself", code="under_review", client=actor.client,
                      id=memory.id, fix=f"jmem review approve {memory.id}")  # fmt: skip


def _written(tx: Tx, action: int, id: str, fields: Mapping[str, Any], actor: Actor) -> Memory:
    memory = oplog.write(tx, action, id, fields, actor.client)
    assert memory is not None
    return memory


def _move(tx: Tx, memory: Memory, fields: Mapping[str, Any], actor: Actor) -> Edited:
    """Give a memory whose privacy changes a new id without the old history, and forget the old id for ever."""
    everything = {name: getattr(memory, name) for name in FIELDS}
    everything["tags"], everything["metadata"] = list(memory.tags), dict(memory.metadata)
    everything.update(fields)
    started = {
        name: value for name, value in everything.items() if name not in DEFAULTS or value != DEFAULTS[name]
    }  # fmt: skip
    held = rows.read_registers(tx.conn, memory.id)
    assert held is not None
    started.update({name: value for name, (_, value) in held.registers.items() if name not in FIELDS})
    # an action of its own: taking the rest of a batch back must not hide what can't come back as it was
    id, own = new_id(), oplog.begin_action(tx, actor.client, "privacy")
    moved = oplog.write(tx, own, id, started, actor.client, fresh=True)
    assert moved is not None
    for (other,) in tx.conn.execute("SELECT id FROM memories WHERE supersedes = ?", (memory.id,)).fetchall():
        oplog.write(tx, own, other, {"supersedes": id}, actor.client)
    oplog.write(tx, own, memory.id, {}, actor.client, purge=True)
    return Edited(moved, replaces=memory.id)


def delete(tx: Tx, action: int, part: str, actor: Actor) -> str:
    """Hide a memory until it is restored; its id. Raises NotFound, also when it is deleted already."""
    id = ids.resolve(tx.conn, part, actor)
    if actor.review:
        actor.may_change(load(tx, id))
    quota.spend(tx, actor)
    oplog.write(tx, action, id, {"deleted": True}, actor.client)
    return id


def purge(tx: Tx, action: int, part: str, actor: Actor) -> str:
    """Forget a memory for ever; its id. Raises NotFound."""
    id = ids.resolve(tx.conn, part, actor, deleted=True)
    if actor.review:
        actor.may_change(load(tx, id))
    quota.spend(tx, actor)
    oplog.write(tx, action, id, {}, actor.client, purge=True)
    return id


def restore(tx: Tx, action: int, part: str, actor: Actor, rev: str | None = None) -> Edited:
    """Bring a deleted memory back, or give a memory the fields it had at a revision (a stamp or a part of one).

    Raises NotFound for an unknown memory or revision.
    """
    id = ids.resolve(tx.conn, part, actor, deleted=True)
    memory = load(tx, id)
    actor.may_change(memory)
    fields: dict[str, Any] = {}
    if rev is not None:
        fields = _fields_at(tx, memory, rev)
    if memory.deleted:
        fields["deleted"] = False
    if "tags" in fields and not actor.sees(fields["tags"]):
        raise Refused(f"{actor.client} may not see that revision", code="out_of_scope", client=actor.client)
    if not fields:
        return Edited(memory, changed=False)
    _check_review(memory, fields, actor)
    quota.spend(tx, actor)
    return Edited(_written(tx, action, id, fields, actor))


def _fields_at(tx: Tx, memory: Memory, rev: str) -> dict[str, Any]:
    """The fields that differ from how the memory stood right after a revision; privacy and who added it stay."""
    log = oplog.ops_of(tx.conn, memory.id)
    fitting = [n for n, op in enumerate(log, 1) if str(n) == rev or (len(rev) >= 4 and rev in op.stamp)]
    if len(fitting) != 1:
        raise NotFound(f"memory {memory.id} has no single revision {rev!r}", code="no_revision", id=memory.id, rev=rev,
                       fix=f"jmem log {memory.id}   shows the revisions")  # fmt: skip
    then: dict[str, Any] = dict(DEFAULTS)
    for op in log[: fitting[0]]:
        then.update(op.set)
    fields: dict[str, Any] = {}
    for name in FIELDS:
        held = getattr(memory, name)
        held = list(held) if name == "tags" else held
        if name in then and name not in ("deleted", "privacy", "client", "created_at") and then[name] != held:
            fields[name] = then[name]
    return fields

"""The changes of single memories, each inside an open write and action: what they come down to is `jmem.core.edits`'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hosted.memories.caps import spend
from hosted.memories.finding import Params, condition, load, resolve
from hosted.memories.listing import as_seen
from hosted.ops import log
from hosted.ops.rows import COLUMNS, memory_of
from jmem.core import edits
from jmem.core.actor import Actor
from jmem.core.drafts import Added, Draft, checked_fields
from jmem.core.edits import Edited
from jmem.core.errors import Invalid, JmemError
from jmem.core.filter import Filter
from jmem.core.merge import Registers
from jmem.core.model import Memory, new_id, now_iso
from jmem.core.resemblance import equals_for
from jmem.core.secrets import screened
from jmem.core.spans import OPEN
from jmem.core.texts import text_key

if TYPE_CHECKING:
    from hosted.ops.writer import Action, Writer

SESSION_THREAD = "mcp:"
"""Begins the thread that a session of a program gives to what it adds: where it was said, not what was said."""
Key = tuple[str, str | None, str | None, str | None]


def check_synced(privacy: object) -> None:
    """Raise Invalid `local` for a memory that may not leave a machine: here it has left it."""
    if privacy == "local":
        raise Invalid("the account holds synced memories only; a local one stays on its machine", code="local",
                      field="privacy", fix="jmem add --local   on your machine")  # fmt: skip


def checked(draft: Draft, actor: Actor) -> dict[str, Any]:
    """The fields of the op that adds the draft; raises Invalid, TooLarge, SecretFound, Refused."""
    check_synced(draft.privacy)
    return checked_fields(draft, actor)


async def add_all(
    writer: Writer, action: Action, drafts: Sequence[tuple[Draft, dict[str, Any]]], actor: Actor
) -> list[Added | JmemError]:
    """Store checked drafts by one statement a table; of those that equal a memory the actor can read, that memory."""
    now = now_iso()
    known = await _equal_memories(writer, [fields for _, fields in drafts], actor, now)
    fresh: list[tuple[str, dict[str, Any]]] = []
    found: list[Memory | int | JmemError] = []
    pending: dict[Key, int] = {}
    for draft, fields in drafts:
        key = _key(fields["content"], fields.get("thread"), fields.get("speaker"), fields.get("occurred_at"))
        if (equal := known.get(key)) is not None:
            found.append(equal)
            continue
        if key in pending:
            found.append(pending[key])
            continue
        try:
            if draft.supersedes is not None:
                older = await resolve(writer.raw, writer.user_id, draft.supersedes, actor)
                fields = {**fields, "supersedes": older}
        except JmemError as error:
            found.append(error)
            continue
        found.append(len(fresh))
        if _readable(fields, actor) and (fields.get("expires_at") or "~") > now:
            pending[key] = len(fresh)
        fresh.append((new_id(), fields))
    await spend(writer, actor, len(fresh))
    stored = await writer.add(action, fresh)
    return _told(drafts, found, stored)


def _told(
    drafts: Sequence[tuple[Draft, dict[str, Any]]], found: Sequence[Memory | int | JmemError], stored: Sequence[Memory]
) -> list[Added | JmemError]:
    results: list[Added | JmemError] = []
    told: set[int] = set()
    for (draft, fields), one in zip(drafts, found, strict=True):
        if isinstance(one, JmemError):
            results.append(one)
        elif isinstance(one, int) and one not in told:
            told.add(one)
            results.append(Added(stored[one]))
        else:
            memory = stored[one] if isinstance(one, int) else one
            results.append(Added(memory, duplicate=True, differs=edits.differs(memory, draft, fields)))
    return results


def _readable(fields: Mapping[str, Any], actor: Actor) -> bool:
    """Whether the actor is told of an equal one of a memory with these fields."""
    state = fields.get("state", "active")
    own = fields["client"] == actor.client
    return (state == "active" and (actor.read or own)) or (actor.review and state == "review" and own)


async def _equal_memories(
    writer: Writer, drafts: Sequence[Mapping[str, Any]], actor: Actor, now: str
) -> dict[Key, Memory]:
    """The oldest of `equals_for` the actor, for each content, thread, speaker and time of the drafts."""
    params = Params(writer.user_id)
    where = " OR ".join(f"({condition(actor.narrow(filter), now, params)})" for filter in equals_for(actor))
    keys = params.add([text_key(fields["content"], fields.get("speaker")) for fields in drafts])
    records = await writer.raw.fetch(
        f"SELECT {COLUMNS} FROM jmem.memories m WHERE ({where}) AND m.text_key = ANY ({keys}::bytea[])"
        " ORDER BY m.state = 'review', m.created_at, m.id",
        *params.values,
    )
    found: dict[Key, Memory] = {}
    for memory in await as_seen(writer.raw, writer.user_id, actor.narrow(Filter()), [memory_of(r) for r in records]):
        found.setdefault(_key(memory.content, memory.thread, memory.speaker, memory.occurred_at), memory)
    return found


def _key(content: str, thread: str | None, speaker: str | None, occurred_at: str | None) -> Key:
    return content, None if thread and thread.startswith(SESSION_THREAD) else thread, speaker, occurred_at


async def edit(
    writer: Writer, action: Action, part: str, changes: Mapping[str, Any], actor: Actor, expected: str | None = None,
    secrets: str = "refuse",
) -> Edited:  # fmt: skip
    """Change fields of a memory; raises Conflict `changed` when `expected` is not its version any more, SecretFound."""
    raw, user_id = writer.raw, writer.user_id
    memory = await load(raw, user_id, await resolve(raw, user_id, part, actor))
    actor.may_change(memory)
    check_synced(changes.get("privacy"))
    edits.check_version(memory, expected)
    edits.check_editable(changes)
    older = changes.get("supersedes")
    whole = await resolve(raw, user_id, older, actor, deleted=True) if isinstance(older, str) else None
    fields = screened(edits.changed_fields(memory, changes, actor, lambda given: whole or given), secrets)
    if not fields:
        return Edited(await _seen(writer, memory, actor), changed=False)
    edits.check_review(memory, fields, actor)
    await spend(writer, actor)
    return Edited(await _written(writer, action, memory.id, fields, actor))


async def delete(writer: Writer, action: Action, part: str, actor: Actor, expected: str | None = None) -> str:
    """Hide a memory until it is restored; its id. Raises NotFound, also when it is deleted already, Conflict `changed`."""
    id = await resolve(writer.raw, writer.user_id, part, actor)
    await _check(writer, id, actor, expected)
    await spend(writer, actor)
    await writer.write(action, id, {"deleted": True})
    return id


async def purge(writer: Writer, action: Action, part: str, actor: Actor, expected: str | None = None) -> str:
    """Forget a memory for ever; its id. Raises NotFound, Conflict `changed`."""
    id = await resolve(writer.raw, writer.user_id, part, actor, deleted=True)
    await _check(writer, id, actor, expected)
    await spend(writer, actor)
    await writer.write(action, id, {}, purge=True)
    return id


async def _check(writer: Writer, id: str, actor: Actor, expected: str | None) -> None:
    if actor.review or expected is not None:
        memory = await load(writer.raw, writer.user_id, id)
        actor.may_change(memory)
        edits.check_version(memory, expected)


async def restore(writer: Writer, action: Action, part: str, actor: Actor, rev: str | None = None) -> Edited:
    """Bring a deleted memory back, or give a memory the fields it had at a revision (a stamp or a part of one)."""
    raw, user_id = writer.raw, writer.user_id
    id = await resolve(raw, user_id, part, actor, deleted=True)
    memory = await load(raw, user_id, id)
    actor.may_change(memory)
    then: Registers | None = None
    if rev is not None:
        upto = edits.revision(memory, await log.stamps(raw, user_id, id), rev)
        then = (await log.folded(raw, user_id, [id], upto + OPEN))[id].registers
    fields = edits.restored(memory, then, actor)
    if not fields:
        return Edited(await _seen(writer, memory, actor), changed=False)
    edits.check_review(memory, fields, actor)
    await spend(writer, actor)
    return Edited(await _written(writer, action, id, fields, actor))


async def _written(writer: Writer, action: Action, id: str, fields: Mapping[str, Any], actor: Actor) -> Memory:
    memory = await writer.write(action, id, fields)
    assert memory is not None
    return await _seen(writer, memory, actor)


async def _seen(writer: Writer, memory: Memory, actor: Actor) -> Memory:
    """What the actor is told of a memory that it sees."""
    return (await as_seen(writer.raw, writer.user_id, actor.narrow(Filter()), [memory]))[0]

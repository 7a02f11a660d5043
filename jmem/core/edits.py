"""What a change comes down to: the fields of the op that makes it, worked out from the memory as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Conflict, Invalid, NotFound, Refused
from jmem.core.merge import Registers
from jmem.core.model import FIELDS, Memory, check_field, check_tags

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


def differs(equal: Memory, draft: Draft, fields: Mapping[str, Any]) -> tuple[str, ...]:
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


def check_version(memory: Memory, expected: str | None) -> None:
    """Raise Conflict `changed` when `expected` is not the memory's version any more."""
    if expected is not None and expected != memory.version:
        raise Conflict(f"memory {memory.id} was changed since it was read", code="changed", id=memory.id,
                       version=memory.version, fix="read it again, then repeat the change")  # fmt: skip


def check_editable(changes: Mapping[str, Any]) -> None:
    """Raise Invalid `unknown_field` for a field that no edit changes."""
    if unknown := sorted(set(changes) - EDITABLE):
        raise Invalid(f"a memory has no field {unknown[0]!r} that can be edited", code="unknown_field",
                      field=unknown[0], fix="leave it out, or put it into metadata")  # fmt: skip


def changed_fields(
    memory: Memory, changes: Mapping[str, Any], actor: Actor, resolve: Callable[[str], str]
) -> dict[str, Any]:
    """The fields whose value differs from what stands, each in its stored form.

    `resolve` gives the whole id of what it shall supersede. Raises Invalid, TooLarge, Refused.
    """
    check_editable(changes)
    wanted = {name: value for name, value in changes.items() if name not in ("add_tags", "remove_tags")}
    if "add_tags" in changes or "remove_tags" in changes:
        gone = set(check_tags(changes.get("remove_tags") or ()))
        kept = [tag for tag in check_tags(wanted.get("tags", memory.tags)) if tag not in gone]
        wanted["tags"] = [*kept, *check_tags(changes.get("add_tags") or ())]
    if wanted.get("supersedes") is not None:
        wanted["supersedes"] = resolve(wanted["supersedes"])
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


def check_review(memory: Memory, fields: Mapping[str, Any], actor: Actor) -> None:
    """What waits for review can't be accepted by the client that it waits for."""
    if actor.review and "state" in fields:
        raise Refused(f"{actor.client} can't accept what it wrote itself", code="under_review", client=actor.client,
                      id=memory.id, fix=f"jmem review approve {memory.id}")  # fmt: skip


def moved_fields(memory: Memory, fields: Mapping[str, Any], registers: Registers) -> dict[str, Any]:
    """What the op sets that makes a memory anew under another id: all that it holds, with `fields` changed."""
    everything = {name: getattr(memory, name) for name in FIELDS}
    everything["tags"], everything["metadata"] = list(memory.tags), dict(memory.metadata)
    everything.update(fields)
    started = {name: value for name, value in everything.items() if name not in DEFAULTS or value != DEFAULTS[name]}
    started.update({name: value for name, (_, value) in registers.items() if name not in FIELDS})
    return started


def revision(memory: Memory, stamps: Sequence[str], rev: str) -> str:
    """The stamp of a revision, by its number or a part of it; `stamps` are those of the memory's ops, ascending.

    Raises NotFound `no_revision`.
    """
    fitting = [stamp for n, stamp in enumerate(stamps, 1) if str(n) == rev or (len(rev) >= 4 and rev in stamp)]
    if len(fitting) != 1:
        raise NotFound(f"memory {memory.id} has no single revision {rev!r}", code="no_revision", id=memory.id, rev=rev,
                       fix=f"jmem log {memory.id}   shows the revisions")  # fmt: skip
    return fitting[0]


def fields_at(memory: Memory, registers: Registers) -> dict[str, Any]:
    """The fields that differ from what the ops up to an earlier moment add up to. Privacy and who added it stay."""
    then: dict[str, Any] = {**DEFAULTS, **{name: value for name, (_, value) in registers.items()}}
    fields: dict[str, Any] = {}
    for name in FIELDS:
        held = getattr(memory, name)
        held = list(held) if name == "tags" else held
        if name in then and name not in ("deleted", "privacy", "client", "created_at") and then[name] != held:
            fields[name] = then[name]
    return fields


def restored(memory: Memory, then: Registers | None, actor: Actor) -> dict[str, Any]:
    """The fields that bring a memory back, as it was at a revision (`then`) where one is named; {} where nothing would
    change. Raises Refused `out_of_scope` for what the actor would not see."""
    fields = {} if then is None else fields_at(memory, then)
    if memory.deleted:
        fields["deleted"] = False
    if "tags" in fields and not actor.sees(fields["tags"]):
        raise Refused(f"{actor.client} may not see that revision", code="out_of_scope", client=actor.client)
    return fields

"""The operations of a batch, read from what was asked: each with the permission that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jmem.core.actor import Actor
from jmem.core.drafts import Draft, draft_of
from jmem.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class Add:
    """Add a memory."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Edit:
    """Change fields; `version` is the one that was read."""

    id: str
    changes: Mapping[str, Any]
    version: str | None
    secrets: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Hide a memory."""

    id: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring a memory back, or its fields as they were at a revision."""

    id: str
    rev: str | None


@dataclass(frozen=True, slots=True)
class Purge:
    """Forget a memory for ever."""

    id: str


Operation = Add | Edit | Delete | Restore | Purge


def operation_of(given: Mapping[str, Any], actor: Actor) -> Operation:
    """The operation that was asked for; raises Invalid, and Refused where the actor may not do it."""
    values = dict(given)
    op = values.pop("op", None)
    if op == "add":
        actor.may("write")
        return Add(draft_of(values))
    if op not in ("edit", "delete", "restore", "purge"):
        raise Invalid("op must be one of add, edit, delete, restore, purge", field="op")
    id = values.pop("id", None)
    if not isinstance(id, str):
        raise Invalid("id is missing", field="id")
    if op == "edit":
        actor.may("read", "write")
        version, secrets = values.pop("version", None), values.pop("secrets", "refuse")
        return Edit(id, values, version, secrets)
    rev = values.pop("rev", None) if op == "restore" else None
    if values:
        raise Invalid(f"{op} takes no field {sorted(values)[0]!r}", code="unknown_field", field=sorted(values)[0])
    if op == "restore":
        actor.may("read", "write", *(() if rev is None else ("every_tag",)))
        return Restore(id, None if rev is None else str(rev))
    actor.may("delete")
    return Delete(id) if op == "delete" else Purge(id)

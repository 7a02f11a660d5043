"""What a caller gives to be remembered, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jmem.core.actor import Actor
from jmem.core.errors import Invalid
from jmem.core.model import Memory, check_field, now_iso
from jmem.core.secrets import screened


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory to add. Times are any ISO 8601 text; `client` and `created_at` are for the owner's surfaces."""

    content: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: str = "active"
    occurred_at: str | None = None
    expires_at: str | None = None
    privacy: str = "synced"
    source: str | None = None
    thread: str | None = None
    speaker: str | None = None
    client: str | None = None
    supersedes: str | None = None
    """any unique part of an id"""
    created_at: str | None = None
    secrets: str = "refuse"
    """what to do with text that carries a secret: refuse, mask, allow"""


@dataclass(frozen=True, slots=True)
class Near:
    """A memory that resembles another; `score` from 0 to 1 is the share of words they have in common."""

    id: str
    content: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        """The shape of `similar` in the answer to an add."""
        return {"id": self.id, "content": self.content, "score": self.score}


@dataclass(frozen=True, slots=True)
class Added:
    """The memory that was stored, or the equal one that was there already (`duplicate`)."""

    memory: Memory
    duplicate: bool = False
    similar: tuple[Near, ...] = ()
    differs: tuple[str, ...] = ()
    """of a duplicate: the given fields that the memory which was there does not have like that"""


DRAFT_FIELDS = frozenset(
    ("content", "tags", "metadata", "state", "occurred_at", "expires_at", "privacy", "source", "thread", "speaker",
     "client", "supersedes", "created_at", "secrets")
)  # fmt: skip
_OPTIONAL = ("occurred_at", "expires_at", "source", "thread", "speaker")


def draft_of(values: Mapping[str, Any]) -> Draft:
    """A draft from plain values; raises Invalid `unknown_field`, or when there is no content. Checks no value."""
    if unknown := sorted(set(values) - DRAFT_FIELDS):
        raise Invalid(f"a memory has no field {unknown[0]!r}", code="unknown_field", field=unknown[0],
                      fix="leave it out, or put it into metadata")  # fmt: skip
    if "content" not in values:
        raise Invalid("content is missing", field="content")
    return Draft(**values)


def checked_fields(draft: Draft, actor: Actor) -> dict[str, Any]:
    """The fields of the op that adds the draft, each in its stored form, defaults left out.

    Raises Invalid, TooLarge, SecretFound, or Refused. `supersedes` is not among them: it takes the store to resolve.
    """
    fields: dict[str, Any] = {"content": check_field("content", draft.content)}
    if tags := actor.stamp_tags(tuple(check_field("tags", draft.tags))):
        fields["tags"] = check_field("tags", tags)
    if draft.metadata:
        fields["metadata"] = check_field("metadata", draft.metadata)
    state = "review" if actor.review else draft.state
    if state != "active":
        fields["state"] = check_field("state", state)
    if draft.privacy != "synced":
        fields["privacy"] = check_field("privacy", draft.privacy)
    for name in _OPTIONAL:
        value = getattr(draft, name)
        if value is not None:
            fields[name] = check_field(name, value)
    if draft.created_at is not None or draft.client not in (None, actor.client):
        actor.may("everything")
    fields["client"] = check_field("client", draft.client or actor.client)
    fields["created_at"] = now_iso() if draft.created_at is None else check_field("created_at", draft.created_at)
    return screened(fields, draft.secrets)

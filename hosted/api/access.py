"""What connections and keys have in common: what they take and what they answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from hosted.identity.keys import MAX_NAME, MAX_OVERLAP, MAX_WRITES_PER_HOUR, OVERLAP
from hosted.identity.lookup import Rights
from jmem.core.errors import Invalid
from jmem.core.wire.answers import Device, Reply
from jmem.core.wire.asks import Tags
from jmem.core.wire.base import Ask

Label = Annotated[str, Field(max_length=MAX_NAME)]
WritesPerHour = Annotated[int, Field(ge=1, le=MAX_WRITES_PER_HOUR)]
SCOPE = "it sees only memories with one of these; null: all of them"
REVIEW = "what it writes waits until the owner accepts it"
CAP = "how many memories it may add, change and delete within an hour; null: no cap"


class RightsAsk(Ask):
    """What a key or program may do; all of it by default."""

    read: bool = True
    write: bool = True
    delete: bool = True
    tags: Tags | None = Field(None, description=SCOPE)
    review: bool = Field(False, description=REVIEW)
    writes_per_hour: WritesPerHour | None = Field(None, description=CAP)

    def rights(self, client: str) -> Rights:
        """As identity takes them."""
        return Rights(client, self.read, self.write, self.delete, self.tags, self.review, self.writes_per_hour)


class ChangeAsk(Ask):
    """What to change; what is not named stays."""

    name: Label | None = None
    read: bool | None = None
    write: bool | None = None
    delete: bool | None = None
    tags: Tags | None = Field(None, description=SCOPE)
    review: bool | None = Field(None, description=REVIEW)
    writes_per_hour: WritesPerHour | None = Field(None, description=CAP)

    def rights(self, known: Rights) -> Rights | None:
        """The rights after the change, None when it names none; raises Invalid for a null that can't be."""
        given = self.model_dump(exclude_unset=True)
        if not given:
            raise Invalid("nothing to change was given", code="empty")
        for field in ("name", "read", "write", "delete", "review"):
            if field in given and given[field] is None:
                raise Invalid(f"{field} can't be null", field=field)
        if given.keys() == {"name"}:
            return None
        changes = {name: value for name, value in given.items() if name != "name"}
        return replace(known, **changes)


class RotateAsk(Ask):
    """How to rotate a key."""

    overlap_seconds: int = Field(
        int(OVERLAP.total_seconds()), ge=0, le=int(MAX_OVERLAP.total_seconds()),
        description="how long the old key serves on; 0: it is worthless at once",
    )  # fmt: skip


class Access(Reply):
    """A key, a personal URL or a program, with what it may do; never its secret."""

    id: str
    kind: str
    name: str
    client: str
    read: bool
    write: bool
    delete: bool
    tags: list[str] | None
    review: bool
    writes_per_hour: int | None
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    expires_at: str | None = None
    hint: str | None = None
    replaces: str | None = None


class NewConnection(Access):
    """A personal URL in both transports, shown this once."""

    sse: str
    http: str


class NewKey(Access):
    """A key, shown this once."""

    key: str


class Connections(Reply):
    """Newest first."""

    connections: list[Access]


class Keys(Reply):
    """Newest first."""

    keys: list[Access]


class Account(Reply):
    """Whose session this is."""

    id: str
    email: str


class Devices(Reply):
    """The last one seen first."""

    devices: list[Device]


class SignInAt(Reply):
    """Where a program signs its user in."""

    supabase_url: str
    publishable_key: str


class SignIn(Reply):
    """What is worth one session at the Supabase project."""

    email: str
    token_hash: str


class AccountDeleted(Reply):
    """`deleted` is false while something is left to do."""

    deleted: bool


def only(kind: str, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The keys of one kind."""
    return [key for key in shown if key["kind"] == kind]

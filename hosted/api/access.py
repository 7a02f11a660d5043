"""What connections and keys have in common: what they are given, and how a request reaches its parts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request
from pydantic import ConfigDict, Field

from hosted.db.engine import Database
from hosted.identity.keys import MAX_NAME, MAX_OVERLAP, OVERLAP
from hosted.identity.lookup import Rights
from hosted.identity.principal import Principal
from jmem.core.errors import Invalid
from jmem.core.model import MAX_TAGS
from jmem.core.wire.asks import Tag
from jmem.core.wire.base import Ask

Name = Annotated[str, Field(max_length=MAX_NAME)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS, examples=[["travel"]])]


class Body(Ask):
    """What a route takes, as FastAPI reads it: it needs the whole model when the routes are made."""

    model_config = ConfigDict(defer_build=False)


class RightsAsk(Body):
    """What a key or program may do; all of it by default."""

    read: bool = True
    write: bool = True
    delete: bool = True
    tags: Tags | None = Field(None, description="it sees only memories with one of these; null: all of them")

    def rights(self, client: str) -> Rights:
        """As identity takes them."""
        return Rights(client, self.read, self.write, self.delete, None if self.tags is None else tuple(self.tags))


class ChangeAsk(Body):
    """What to change; what is not named stays."""

    name: Name | None = None
    read: bool | None = None
    write: bool | None = None
    delete: bool | None = None
    tags: Tags | None = Field(None, description="it sees only memories with one of these; null: all of them")

    def rights(self, known: Rights) -> Rights | None:
        """The rights after the change, None when it names none; raises Invalid for a null that can't be."""
        given = self.model_dump(exclude_unset=True)
        if not given:
            raise Invalid("nothing to change was given", code="empty")
        for field in ("name", "read", "write", "delete"):
            if field in given and given[field] is None:
                raise Invalid(f"{field} can't be null", field=field)
        given.pop("name", None)
        if not given:
            return None
        tags = known.tags if "tags" not in given else None if self.tags is None else tuple(self.tags)
        return Rights(
            known.client, given.get("read", known.read), given.get("write", known.write),
            given.get("delete", known.delete), tags,
        )  # fmt: skip


class RotateAsk(Body):
    """How to rotate a key."""

    overlap_seconds: int = Field(
        int(OVERLAP.total_seconds()), ge=0, le=int(MAX_OVERLAP.total_seconds()),
        description="how long the old key serves on; 0: it is worthless at once",
    )  # fmt: skip


def database_of(request: Request) -> Database:
    """The application's pool."""
    database: Database = request.app.state.database
    return database


def token_of(request: Request) -> str:
    """The access token of a request whose bearer was verified."""
    return request.headers["authorization"].partition(" ")[2].strip()


def account_of(principal: Principal) -> dict[str, Any]:
    """Whose account it is."""
    return {"id": str(principal.user_id), "email": principal.email}

"""What OpenMemory's clients send. A field that is not known is ignored, as there; `user_id` says nothing here."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from jmem.core.wire.base import Ask, Query

MAX_PAGE = 100
State = Literal["active", "paused", "archived", "deleted"]
Moment = Annotated[int, Field(ge=0, le=253_402_214_400, description="seconds since 1970")]
_Id = Annotated[UUID, BeforeValidator(lambda value: UUID(value) if isinstance(value, str) else value)]


class OpenAsk(Ask):
    """A body."""

    model_config = ConfigDict(extra="ignore")

    user_id: Any = Field(None, description="ignored: the key says whose memories these are")


class OpenQuery(Query):
    """A query string."""

    model_config = ConfigDict(extra="ignore")

    user_id: str | None = Field(None, description="ignored: the key says whose memories these are")


class PageQuery(OpenQuery):
    """A page by its number."""

    page: int = Field(1, ge=1, le=100_000)
    page_size: int = Field(10, ge=1, le=MAX_PAGE)


class MemoriesQuery(OpenQuery):
    """GET /memories/"""

    page: int = Field(1, ge=1, le=100_000)
    size: int = Field(50, ge=1, le=MAX_PAGE)
    app_id: UUID | None = None
    from_date: Moment | None = None
    to_date: Moment | None = None
    categories: str | None = Field(None, description="with commas between; memories with any of them")
    search_query: str | None = None
    sort_column: str | None = Field(None, description="created_at; others are taken for it")
    sort_direction: str | None = None


class FilterAsk(OpenAsk):
    """POST /memories/filter"""

    page: int = Field(1, ge=1, le=100_000)
    size: int = Field(10, ge=1, le=MAX_PAGE)
    search_query: str | None = None
    app_ids: tuple[_Id, ...] | None = Field(None, strict=False, max_length=1000)
    category_ids: tuple[_Id, ...] | None = Field(None, strict=False, max_length=1000)
    sort_column: str | None = None
    sort_direction: str | None = None
    from_date: Moment | None = None
    to_date: Moment | None = None
    show_archived: bool | None = False


class CreateAsk(OpenAsk):
    """POST /memories/"""

    text: str
    metadata: dict[str, Any] | None = None
    infer: bool | None = True
    app: str | None = Field(None, description="what histories call the program, for a key without restriction")
    app_name: str | None = None


class UpdateAsk(OpenAsk):
    """PUT /memories/{memory_id}"""

    memory_content: str


class IdsAsk(OpenAsk):
    """Memories by their ids: an object, or the bare list."""

    memory_ids: tuple[_Id, ...] = Field(strict=False, max_length=1000)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"memory_ids": value} if isinstance(value, list) else value


class PauseAsk(OpenAsk):
    """POST /memories/actions/pause"""

    memory_ids: tuple[_Id, ...] | None = Field(None, strict=False, max_length=1000)
    category_ids: tuple[_Id, ...] | None = Field(None, strict=False, max_length=1000)
    app_id: _Id | None = None
    all_for_app: bool = False
    global_pause: bool = False
    state: State | None = None


class AppsQuery(PageQuery):
    """GET /apps/"""

    name: str | None = None
    is_active: bool | None = None
    sort_by: str = "name"
    sort_direction: str = "asc"

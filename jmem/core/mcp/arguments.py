"""What each tool takes: the model that checks it, and the JSON Schema that a client's model reads."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from jmem.core.errors import Invalid
from jmem.core.model import MAX_BATCH, MAX_LIMIT
from jmem.core.wire.base import Brief
from jmem.core.wire.refusals import MAX_ERRORS


class Arguments(Brief):
    """Arguments of a tool. A null counts as not given: some clients fill in every argument."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Add(Arguments):
    """What add_memories takes."""

    text: str = Field(
        description="What to remember, as one self-contained statement that is still clear months later: names "
        "instead of 'he' or 'it', dates instead of 'tomorrow'."
    )
    tags: list[str] | None = Field(None, description="Short topics to file it under, such as travel or project-x.")
    infer: bool | None = Field(
        None,
        description="True: take the separate facts out of a longer passage with a language model, where the owner has "
        "set one up. Otherwise the text is kept word for word.",
    )


class Search(Arguments):
    """What search_memory takes."""

    query: str = Field(description="What you want to know, in plain words: a question or a topic.")
    limit: int | None = Field(None, ge=1, le=MAX_LIMIT, description="How many memories at most; 10 if not given.")
    tags: list[str] | None = Field(None, description="Only memories that have every one of these tags.")
    since: str | None = Field(
        None, description="Only what happened at or after this: 2026-11-22, 2026-11-22T20:13:05Z or 'last week'."
    )
    until: str | None = Field(None, description="Only what happened up to the end of this; written like since.")


class List(Arguments):
    """What list_memories takes."""

    limit: int | None = Field(None, ge=1, le=MAX_LIMIT, description="How many memories at most; 50 if not given.")
    cursor: str | None = Field(None, description="The next_cursor of the page before.")
    tags: list[str] | None = Field(None, description="Only memories that have every one of these tags.")


class Delete(Arguments):
    """What delete_memories takes."""

    memory_ids: list[str] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Whole ids, exactly as add_memories, search_memory or list_memories gave them.",
    )


class DeleteAll(Arguments):
    """What delete_all_memories takes: nothing. That it is there at all is the owner's word."""


A = TypeVar("A", bound=Arguments)


def parse(model: type[A], given: dict[str, Any] | None) -> A:
    """The checked arguments; raises Invalid that says what is wrong with each."""
    try:
        return model.model_validate({name: value for name, value in (given or {}).items() if value is not None})
    except ValidationError as error:
        known = ", ".join(model.model_fields) or "none"
        if error.error_count() > MAX_ERRORS:
            raise Invalid(f"these are not the arguments of this tool: {known}") from None
        reasons = [
            _reason(e, known) for e in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Invalid("; ".join(reasons), fix="call the tool again with that corrected") from None


def _reason(error: Any, known: str) -> str:
    name = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "missing":
            return f"{name} is missing"
        case "extra_forbidden":
            return f"there is no argument {name!r} (there are: {known})"
        case _:
            return f"{name}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def schema(model: type[Arguments]) -> dict[str, Any]:
    """The JSON Schema of the arguments, without pydantic's titles and nulls: what is optional is not required."""
    raw = model.model_json_schema()
    properties = {name: _plain(value) for name, value in raw.get("properties", {}).items()}
    return {
        "type": "object",
        "properties": properties,
        **({"required": raw["required"]} if "required" in raw else {}),
        "additionalProperties": False,
    }


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in value.items() if k not in ("title", "default", "anyOf")}
    for option in value.get("anyOf", ()):
        if option.get("type") != "null":
            kept = {**option, **kept}
    return kept

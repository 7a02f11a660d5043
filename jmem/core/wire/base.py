"""What every route takes: one model, from a JSON body or from a query string; what it does not know is refused."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from jmem.core.errors import Invalid

A = TypeVar("A", bound=BaseModel)


def _fail_fast(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("list", "tuple", "set", "frozenset"):
            schema["fail_fast"] = True
        for part in schema.values():
            _fail_fast(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _fail_fast(part)


class Brief(BaseModel):
    """A model that looks at a list no further than to the first item that is wrong: there may be millions of them."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As pydantic makes it, with `fail_fast` in every list."""
        schema = handler(source)
        _fail_fast(schema)
        return schema


class Ask(Brief):
    """What a route takes in a JSON body: types as they are written, and no field it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Query(Brief):
    """What a route takes in its query string, where every value is text."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NoQuery(Query):
    """A GET or DELETE that takes nothing."""


class NoBody(Ask):
    """A POST that takes nothing: an empty body or {}."""


@cache
def wants_lists(model: type[BaseModel]) -> frozenset[str]:
    """The query parameters of a model that may be given more than once."""
    return frozenset(name for name, info in model.model_fields.items() if "tuple" in str(info.annotation))


def parse_query(model: type[A], text: bytes) -> A:
    """The model of a query string; raises pydantic's ValidationError, or Invalid for what is given twice."""
    if not text:
        return model.model_validate({})
    from urllib.parse import parse_qsl

    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200)
    except (UnicodeDecodeError, ValueError):
        raise Invalid("the query string is not percent-encoded UTF-8", code="bad_query") from None
    lists = wants_lists(model)
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Invalid(f"{name} is given twice", code="invalid", field=name)
        else:
            values[name] = value
    return model.model_validate(values)

"""Filters as Qdrant's REST takes them: whether they may be used, and which points they let pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hosted.dev.qdrant.errors import QdrantError

Payload = Mapping[str, Any]
Schema = Mapping[str, Mapping[str, Any]]
_BOUNDS = {
    "gt": lambda value, bound: value > bound, "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound, "lte": lambda value, bound: value <= bound,
}  # fmt: skip


def listed(value: Any) -> list[Any]:
    """One condition or several, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def tenant_of(filter: Mapping[str, Any] | None, schema: Schema) -> str:
    """The one tenant that a filter names in its `must`; raises QdrantError for a filter without one."""
    key = next((name for name, index in schema.items() if index.get("is_tenant")), None)
    for condition in listed((filter or {}).get("must")):
        value = (condition.get("match") or {}).get("value") if condition.get("key") == key else None
        if key is not None and isinstance(value, str) and value:
            return value
    raise QdrantError(403, "Forbidden: no tenant in the filter; every request for points names one")


def check(filter: Mapping[str, Any] | None, schema: Schema) -> None:
    """Raise QdrantError for a condition on a field that has no index, or an index of another kind."""
    for clause, conditions in (filter or {}).items():
        if clause not in ("must", "must_not", "should"):
            raise QdrantError(400, f"Bad request: the double knows no {clause!r} in a filter")
        for condition in listed(conditions):
            if "key" in condition:
                _check_field(condition, schema)
            elif "has_id" not in condition:
                check(condition, schema)


def _check_field(condition: Mapping[str, Any], schema: Schema) -> None:
    key = condition["key"]
    wanted = "integer" if condition.get("range") is not None else "keyword"
    kind = schema.get(key, {}).get("type")
    if kind != wanted:
        raise QdrantError(
            400, f'Bad request: Index required but not found for "{key}" of one of the following types: [{wanted}]'
        )


def passes(filter: Mapping[str, Any] | None, id: str, payload: Payload) -> bool:
    """Whether a point passes."""
    filter = filter or {}
    should = listed(filter.get("should"))
    return (
        all(_holds(condition, id, payload) for condition in listed(filter.get("must")))
        and not any(_holds(condition, id, payload) for condition in listed(filter.get("must_not")))
        and (not should or any(_holds(condition, id, payload) for condition in should))
    )


def _holds(condition: Mapping[str, Any], id: str, payload: Payload) -> bool:
    if "has_id" in condition:
        return id in condition["has_id"]
    if "key" not in condition:
        return passes(condition, id, payload)
    values: Sequence[Any] = listed(payload.get(condition["key"]))
    if (match := condition.get("match")) is not None:
        wanted = match["any"] if "any" in match else [match["value"]]
        return any(value in wanted for value in values)
    bounds = {name: bound for name, bound in condition["range"].items() if bound is not None}
    return any(all(_BOUNDS[name](value, bound) for name, bound in bounds.items()) for value in values)

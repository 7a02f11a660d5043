"""What the double holds: collections of points a tenant, in memory, searched exactly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from hosted.dev.qdrant.conditions import check, listed, passes, tenant_of
from hosted.dev.qdrant.errors import QdrantError, no_collection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

Filter = Mapping[str, Any]
_ROWS = 2048
"""Vectors that are compared at once: a copy of all of them would hold the interpreter."""
_NAME = re.compile(r"[^<>:\"/\\|?*\0\x1f]{1,255}")


@dataclass(slots=True)
class Point:
    """A point; its vector has length 1."""

    id: str
    vector: Vector
    payload: dict[str, Any]


@dataclass(slots=True)
class Collection:
    """Points of all tenants, each tenant's by itself."""

    size: int
    schema: dict[str, dict[str, Any]] = field(default_factory=dict)
    tenants: dict[str, dict[str, Point]] = field(default_factory=dict)

    def index(self, name: str, schema: Any) -> None:
        """Index a payload field."""
        self.schema[name] = dict(schema) if isinstance(schema, dict) else {"type": schema}

    def upsert(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Put points in place of those with the same ids."""
        key = next((name for name, index in self.schema.items() if index.get("is_tenant")), None)
        made = []
        for raw in points:
            payload = dict(raw.get("payload") or {})
            tenant = payload.get(key) if key else None
            if not isinstance(tenant, str) or not tenant:
                raise QdrantError(403, "Forbidden: a point without its tenant")
            made.append((tenant, Point(str(UUID(str(raw["id"]))), self._vector(raw["vector"]), payload)))
        for tenant, point in made:
            for others in self.tenants.values():  # ids are the collection's, whoever's the point is
                others.pop(point.id, None)
            self.tenants.setdefault(tenant, {})[point.id] = point

    def delete(self, filter: Filter | None) -> None:
        """Delete what passes."""
        tenant = self._tenant(filter)
        points = self.tenants.get(tenant, {})
        for id in [point.id for point in points.values() if passes(filter, point.id, point.payload)]:
            del points[id]
        if not points:
            self.tenants.pop(tenant, None)

    def overwrite(self, filter: Filter | None, payload: Mapping[str, Any]) -> None:
        """Give what passes another payload."""
        for point in self.matching(filter):
            point.payload = dict(payload)

    def matching(self, filter: Filter | None) -> list[Point]:
        """What passes, by id."""
        return passing(self.held(filter), filter)

    def held(self, filter: Filter | None) -> list[Point]:
        """The points of the filter's tenant as they are now, also for another thread: a change puts others in their place
        or gives them another payload."""
        return list(self.tenants.get(self._tenant(filter), {}).values())

    def vectors(self, raw: Sequence[Any]) -> Vector:
        """What is asked for, of length 1, a row each; raises QdrantError."""
        return np.stack([self._vector(one) for one in raw])

    def _tenant(self, filter: Filter | None) -> str:
        tenant = tenant_of(filter, self.schema)
        check(filter, self.schema)
        return tenant

    def _vector(self, raw: Any) -> Vector:
        vector = np.asarray(raw, np.float32)
        if vector.shape != (self.size,):
            raise QdrantError(400, f"Wrong input: Vector dimension error: expected dim: {self.size}, got {vector.size}")
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length):
            raise QdrantError(400, "Wrong input: a vector has no direction")
        return vector / length if length else vector


def passing(points: Sequence[Point], filter: Filter | None) -> list[Point]:
    """Those that pass, by id."""
    return sorted((p for p in points if passes(filter, p.id, p.payload)), key=lambda point: point.id)


def nearest(points: Sequence[Point], asked: Vector, limits: Sequence[int]) -> list[list[tuple[Point, float]]]:
    """For each row of `asked` the nearest of the points, by cosine, at most as many as its limit."""
    if not points:
        return [[] for _ in limits]
    parts = [np.stack([p.vector for p in points[at : at + _ROWS]]) @ asked.T for at in range(0, len(points), _ROWS)]
    found = []
    for scores, limit in zip(np.concatenate(parts).T, limits, strict=True):
        best = np.argsort(-scores, kind="stable")[:limit]
        found.append([(points[i], float(scores[i])) for i in best])
    return found


class Store:
    """Collections by name, and aliases. `before` is called with the kind of each request for points, and may raise."""

    def __init__(self) -> None:
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.before: Callable[[str], None] = lambda kind: None

    def get(self, name: str) -> Collection:
        """A collection by its name or alias; raises QdrantError 404."""
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise no_collection(name)
        return found

    def create(self, name: str, body: Mapping[str, Any]) -> None:
        """Make a collection of unnamed vectors compared by cosine."""
        if name in self.collections or name in self.aliases:
            raise QdrantError(409, f"Wrong input: Collection `{name}` already exists!")
        vectors = body.get("vectors") or {}
        if not _NAME.fullmatch(name) or vectors.get("distance") != "Cosine" or not isinstance(vectors.get("size"), int):
            raise QdrantError(400, "Bad request: the double has unnamed vectors with Cosine only")
        self.collections[name] = Collection(vectors["size"])

    def drop(self, name: str) -> bool:
        """Delete a collection and its aliases."""
        self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}
        return self.collections.pop(name, None) is not None

    def change_aliases(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """All of the changes, or none."""
        aliases = dict(self.aliases)
        for action in actions:
            if (made := action.get("create_alias")) is not None:
                if made["collection_name"] not in self.collections:
                    raise no_collection(made["collection_name"])
                if made["alias_name"] in self.collections:
                    raise QdrantError(409, f"Wrong input: Collection `{made['alias_name']}` already exists!")
                aliases[made["alias_name"]] = made["collection_name"]
            elif (gone := action.get("delete_alias")) is not None:
                if aliases.pop(gone["alias_name"], None) is None:
                    raise QdrantError(404, f"Not found: Alias `{gone['alias_name']}` doesn't exist!")
            else:
                raise QdrantError(400, "Bad request: an unknown change of aliases")
        self.aliases = aliases

    def points(self) -> int:
        """Of all collections."""
        return sum(len(points) for made in self.collections.values() for points in made.tenants.values())


def selected(body: Mapping[str, Any]) -> Filter | None:
    """The filter of a request that changes points; a bare list of ids is refused for want of the tenant in it."""
    if listed(body.get("points")):
        raise QdrantError(403, "Forbidden: points are named by a filter with their tenant, not by their ids alone")
    return body.get("filter")

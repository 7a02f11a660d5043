"""The one place that asks Qdrant for points, or changes any: every request bears the tenant's filter, put in here.

Points of all tenants share a collection, in which `user_id` is the tenant's key. A point's id is made of the user's and
the memory's, so that two tenants with the same memory id have two points.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid5

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from jmem.core.errors import JmemError
from jmem.core.filter import Filter
from jmem.core.model import STATES, milliseconds

log = logging.getLogger(__name__)
TENANT = "user_id"
KEYWORDS = ("tags", "client", "state", "thread", "source")
NUMBERS = ("at", "expires_at")
"""Times are ms since 1970: keywords and numbers are what filters may use, so each has an index."""
TIMEOUT_S = 10
SEARCH_TIMEOUT_S = 3


class VectorsUnavailable(JmemError):
    """The vector index can't be asked now; search goes on with words alone. HTTP 503, exit 1.

    `missing`: the collection is not there (any more).
    """

    code, status = "index_unavailable", 503
    missing = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index holds of a memory. Times are in the form of `model.iso`; `vector` None leaves the one it has."""

    id: str
    model: str
    at: str
    state: str
    client: str
    tags: tuple[str, ...] = ()
    thread: str | None = None
    source: str | None = None
    expires_at: str | None = None
    vector: Sequence[float] | None = None

    def payload(self, user_id: UUID) -> dict[str, Any]:
        """What filters see; no word of the text."""
        told = {
            TENANT: str(user_id), "id": self.id, "model": self.model, "tags": list(self.tags), "client": self.client,
            "state": self.state, "at": milliseconds(self.at), "thread": self.thread, "source": self.source,
            "expires_at": None if self.expires_at is None else milliseconds(self.expires_at),
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """(id, cosine) of the nearest memories, best first, and the cosines of those that were asked about."""

    nearest: list[tuple[str, float]]
    scores: dict[str, float]


def connect(host: str, port: int = 6333, api_key: str = "", **options: Any) -> AsyncQdrantClient:
    """The official client. `host` is a name, reached by TLS where there is a key, or an address with its scheme."""
    where: dict[str, Any] = {"url": host} if "://" in host else {"host": host}
    return AsyncQdrantClient(
        **where, port=port, api_key=api_key or None, timeout=TIMEOUT_S, check_compatibility=False, **options
    )


@asynccontextmanager
async def asking() -> AsyncIterator[None]:
    """Raise VectorsUnavailable for every way in which Qdrant can fail."""
    try:
        yield
    except JmemError:
        raise
    except UnexpectedResponse as error:
        failed = VectorsUnavailable(f"the vector index answered {error.status_code}")
        failed.missing = error.status_code == 404
        raise failed from error
    except (ApiException, ResourceExhaustedResponse, OSError, TimeoutError) as error:
        raise VectorsUnavailable("the vector index can't be reached") from error
    except Exception as error:  # the client asserts and parses: what stands before Qdrant may answer in its place
        log.warning("what answers for the vector index is none", exc_info=error)
        raise VectorsUnavailable("the answer is none of the vector index") from error


class Vectors:
    """Points of tenants. Every method takes the tenant, and raises TypeError where that is not one's id."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self.client = client

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def upsert(self, user_id: UUID, collection: str, entries: Sequence[Entry]) -> None:
        """Put points with their vectors in place of what there was."""
        owner = _tenant(user_id)
        points = [
            models.PointStruct(
                id=point_id(owner, entry.id), vector=list(entry.vector or ()), payload=entry.payload(owner)
            )
            for entry in entries
        ]
        if points:
            async with asking():
                await self.client.upsert(collection, points, wait=True)

    async def describe(self, user_id: UUID, collection: str, entries: Sequence[Entry]) -> None:
        """Tell what else changed of memories whose text did not."""
        owner = _tenant(user_id)
        changes = [
            models.OverwritePayloadOperation(
                overwrite_payload=models.SetPayload(payload=entry.payload(owner), filter=_among(owner, [entry.id]))
            )
            for entry in entries
        ]
        if changes:
            async with asking():
                await self.client.batch_update_points(collection, changes, wait=True)

    async def delete(self, user_id: UUID, collection: str, ids: Sequence[str]) -> None:
        """Take memories out; those that are not there stay so."""
        owner = _tenant(user_id)
        if ids:
            async with asking():
                selector = models.FilterSelector(filter=_among(owner, ids))
                await self.client.delete(collection, selector, wait=True)

    async def delete_tenant(self, user_id: UUID, collection: str) -> None:
        """Take out everything of a user."""
        owned = models.Filter(must=[_owned(_tenant(user_id))])
        async with asking():
            await self.client.delete(collection, models.FilterSelector(filter=owned), wait=True)

    async def count(self, user_id: UUID, collection: str) -> int:
        """How many points a user has."""
        owned = models.Filter(must=[_owned(_tenant(user_id))])
        async with asking():
            return (await self.client.count(collection, count_filter=owned, exact=True)).count

    async def ids(self, user_id: UUID, collection: str) -> set[str]:
        """The ids of every memory that the index has of a user."""
        owned = models.Filter(must=[_owned(_tenant(user_id))])
        found: set[str] = set()
        offset: Any = None
        async with asking():
            while True:
                points, offset = await self.client.scroll(
                    collection, scroll_filter=owned, limit=1000, offset=offset, with_payload=["id"], with_vectors=False
                )
                found.update(point.payload["id"] for point in points if point.payload)
                if offset is None:
                    return found

    async def search(
        self, user_id: UUID, collection: str, vector: Sequence[float], filter: Filter, now: str, limit: int,
        among: Sequence[str] = (),
    ) -> Found:  # fmt: skip
        """The nearest memories that pass the filter, and how near those `among` are: one request for both."""
        owner = _tenant(user_id)
        passing = conditions(owner, filter, now)
        if passing is None:
            return Found([], {})
        asked = [(passing, limit)]
        if among:
            asked.append((_among(owner, among), len(among)))
        requests = [
            models.QueryRequest(query=list(vector), filter=condition, limit=most, with_payload=["id"])
            for condition, most in asked
        ]
        async with asking():
            answers = await self.client.query_batch_points(collection, requests, timeout=SEARCH_TIMEOUT_S)
            told = [[(str(p.payload["id"]), p.score) for p in answer.points if p.payload] for answer in answers]
            return Found(told[0], dict(told[1]) if among else {})

    async def near(
        self, user_id: UUID, collection: str, ids: Sequence[str], filter: Filter, now: str, limit: int
    ) -> dict[str, list[tuple[str, float]]]:
        """For each of these memories that the index has, the nearest others that pass the filter: two requests for all."""
        owner = _tenant(user_id)
        passing = conditions(owner, filter, now)
        if passing is None or not ids:
            return {}
        async with asking():
            points, _ = await self.client.scroll(
                collection, scroll_filter=_among(owner, ids), limit=len(ids), with_payload=["id"], with_vectors=True
            )
            held = {str(point.payload["id"]): point.vector for point in points if point.payload}
            requests = [
                models.QueryRequest(query=vector, filter=passing, limit=limit + 1, with_payload=["id"])  # type: ignore[arg-type]
                for vector in held.values()
            ]
            if not requests:
                return {}
            answers = await self.client.query_batch_points(collection, requests, timeout=SEARCH_TIMEOUT_S)
            found: dict[str, list[tuple[str, float]]] = {}
            for id, answer in zip(held, answers, strict=True):
                told = [(str(p.payload["id"]), p.score) for p in answer.points if p.payload]
                found[id] = [one for one in told if one[0] != id][:limit]
            return found


def point_id(user_id: UUID, id: str) -> str:
    """The id of a memory's point."""
    return str(uuid5(user_id, id))


def conditions(user_id: UUID, filter: Filter, now: str) -> models.Filter | None:
    """The filter of a search, always with the tenant; None where nothing can pass.

    `privacy` and `before` are not known to the index: the rows decide.
    """
    if filter.visible == () or filter.deleted:
        return None
    must: list[Any] = [_owned(_tenant(user_id))]
    must_not: list[Any] = []
    must += [_is("tags", tag) for tag in filter.tags]
    if filter.visible is not None:
        must.append(_any("tags", filter.visible))
    if filter.clients:
        must.append(_any("client", filter.clients))
    if filter.states and set(filter.states) != set(STATES):
        must.append(_any("state", filter.states))
    if filter.waiting_of is not None:
        others = models.Filter(must=[_is("state", "review")], must_not=[_is("client", filter.waiting_of)])
        must_not.append(others)
    if filter.thread is not None:
        must.append(_is("thread", filter.thread))
    if filter.source is not None:
        must.append(_is("source", filter.source))
    if filter.since is not None:
        must.append(_range("at", gte=filter.since))
    if filter.until is not None:
        must.append(_range("at", lt=filter.until))
    if filter.lapsed:
        must.append(_range("expires_at", lte=now))
    elif not filter.expired:
        must_not.append(_range("expires_at", lte=now))
    return models.Filter(must=must, must_not=must_not or None)


def without_vector(entry: Entry) -> Entry:
    """The entry as `describe` takes it."""
    return replace(entry, vector=None)


def _tenant(user_id: UUID) -> UUID:
    if not isinstance(user_id, UUID) or not user_id.int:
        raise TypeError("points belong to a tenant, which is a UUID")
    return user_id


def _owned(user_id: UUID) -> models.FieldCondition:
    return _is(TENANT, str(user_id))


def _among(user_id: UUID, ids: Sequence[str]) -> models.Filter:
    return models.Filter(must=[_owned(user_id), models.HasIdCondition(has_id=[point_id(user_id, id) for id in ids])])


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _any(field: str, values: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))


def _range(field: str, **bounds: str) -> models.FieldCondition:
    return models.FieldCondition(
        key=field, range=models.Range(**{name: milliseconds(moment) for name, moment in bounds.items()})
    )

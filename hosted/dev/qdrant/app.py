"""The double's REST: the part of Qdrant's that the product uses, answered in its form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hosted.dev.qdrant.errors import QdrantError
from hosted.dev.qdrant.store import Collection, Point, Store, nearest, passing, selected

Action = Callable[[Store, str, dict[str, Any]], Any]
"""What is asked of the store: the result, or what finds it in a thread, which looks at nothing that changes."""
_DONE = {"operation_id": 0, "status": "completed"}
_MAX_BODY = 32 * 1024 * 1024


def _exists(store: Store, name: str, body: dict[str, Any]) -> Any:
    return {"exists": name in store.collections or name in store.aliases}


def _create(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.create(name, body)
    return True


def _drop(store: Store, name: str, body: dict[str, Any]) -> Any:
    return store.drop(name)


def _index(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.get(name).index(body["field_name"], body.get("field_schema") or "keyword")
    return _DONE


def _collections(store: Store, name: str, body: dict[str, Any]) -> Any:
    return {"collections": [{"name": made} for made in store.collections]}


def _aliases(store: Store, name: str, body: dict[str, Any]) -> Any:
    told = [{"alias_name": alias, "collection_name": target} for alias, target in store.aliases.items()]
    return {"aliases": told}


def _change_aliases(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.change_aliases(body["actions"])
    return True


def _upsert(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("upsert")
    store.get(name).upsert(body["points"])
    return _DONE


def _delete(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("delete")
    store.get(name).delete(selected(body))
    return _DONE


def _batch(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("batch")
    collection = store.get(name)
    for operation in body["operations"]:
        ((kind, asked),) = operation.items()
        if kind != "overwrite_payload":
            raise QdrantError(400, f"Bad request: the double knows no {kind}")
        collection.overwrite(selected(asked), asked["payload"])
    return [_DONE for _ in body["operations"]]


def _count(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("count")
    held, filter = store.get(name).held(body.get("filter")), body.get("filter")
    return lambda: {"count": len(passing(held, filter))}


def _scroll(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("scroll")
    limit, start = body.get("limit") or 10, str(body.get("offset") or "")
    held, filter = store.get(name).held(body.get("filter")), body.get("filter")

    def found() -> Any:
        points = [point for point in passing(held, filter) if point.id >= start]
        following = points[limit].id if len(points) > limit else None
        return {"points": [_told(point, body) for point in points[:limit]], "next_page_offset": following}

    return found


def _query(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("query")
    searched = _searched(store.get(name), [body])
    return lambda: searched()[0]


def _query_batch(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("query")
    return _searched(store.get(name), body["searches"])


def _searched(collection: Collection, searches: list[dict[str, Any]]) -> Callable[[], list[Any]]:
    """What each of the searches finds; those with one filter look through the points together."""
    alike = [(filter, list(some)) for filter, some in groupby(searches, key=lambda asked: asked.get("filter"))]
    taken = [(filter, some, collection.held(filter), collection.vectors([_vector(asked) for asked in some]))
             for filter, some in alike]  # fmt: skip

    def found() -> list[Any]:
        told: list[Any] = []
        for filter, some, held, vectors in taken:
            limits = [asked.get("limit") or 10 for asked in some]
            for asked, hits in zip(some, nearest(passing(held, filter), vectors, limits), strict=True):
                told.append(
                    {"points": [{**_told(point, asked), "version": 0, "score": score} for point, score in hits]}
                )
        return told

    return found


def _vector(asked: dict[str, Any]) -> Any:
    vector = asked.get("query")
    return (vector.get("nearest") if isinstance(vector, dict) else vector) or []


def _told(point: Point, body: dict[str, Any]) -> dict[str, Any]:
    wanted = body.get("with_payload")
    told: dict[str, Any] = {"id": point.id}
    if wanted is True:
        told["payload"] = point.payload
    elif isinstance(wanted, list):
        told["payload"] = {name: point.payload[name] for name in wanted if name in point.payload}
    if body.get("with_vector") is True:
        told["vector"] = point.vector.tolist()
    return told


_ROUTES: tuple[tuple[str, str, Action], ...] = (
    ("GET", "/collections", _collections),
    ("GET", "/aliases", _aliases),
    ("POST", "/collections/aliases", _change_aliases),
    ("GET", "/collections/{name}/exists", _exists),
    ("PUT", "/collections/{name}", _create),
    ("DELETE", "/collections/{name}", _drop),
    ("PUT", "/collections/{name}/index", _index),
    ("PUT", "/collections/{name}/points", _upsert),
    ("POST", "/collections/{name}/points/delete", _delete),
    ("POST", "/collections/{name}/points/batch", _batch),
    ("POST", "/collections/{name}/points/count", _count),
    ("POST", "/collections/{name}/points/scroll", _scroll),
    ("POST", "/collections/{name}/points/query", _query),
    ("POST", "/collections/{name}/points/query/batch", _query_batch),
)


def make_app(store: Store, api_key: str = "") -> Starlette:
    """The double as an ASGI application; with a key, it asks for it."""

    def endpoint(action: Action) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                if api_key and request.headers.get("api-key") != api_key:
                    raise QdrantError(401, "Unauthorized: an invalid api-key")
                raw = await request.body()
                if len(raw) > _MAX_BODY:
                    raise QdrantError(413, "Payload too large")
                result = action(store, request.path_params.get("name", ""), json.loads(raw) if raw else {})
                if callable(result):
                    result = await asyncio.to_thread(result)
            except QdrantError as error:
                return JSONResponse({"status": {"error": error.message}, "time": 0.0}, error.status)
            except (KeyError, TypeError, ValueError) as error:
                return JSONResponse({"status": {"error": f"Format error: {error!r}"}, "time": 0.0}, 400)
            return JSONResponse({"result": result, "status": "ok", "time": 0.0})

        return answer

    return Starlette(routes=[Route(path, endpoint(action), methods=[method]) for method, path, action in _ROUTES])

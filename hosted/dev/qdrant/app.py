"""The double's REST: the part of Qdrant's that the product uses, answered in its form."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hosted.dev.qdrant.errors import QdrantError
from hosted.dev.qdrant.store import Collection, Point, Store, selected

Action = Callable[[Store, str, dict[str, Any]], Any]
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
    return {"count": len(store.get(name).matching(body.get("filter")))}


def _scroll(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("scroll")
    limit, start = body.get("limit") or 10, str(body.get("offset") or "")
    points = [point for point in store.get(name).matching(body.get("filter")) if point.id >= start]
    following = points[limit].id if len(points) > limit else None
    return {"points": [_told(point, body) for point in points[:limit]], "next_page_offset": following}


def _query(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("query")
    return _searched(store.get(name), body)


def _query_batch(store: Store, name: str, body: dict[str, Any]) -> Any:
    store.before("query")
    collection = store.get(name)
    return [_searched(collection, asked) for asked in body["searches"]]


def _searched(collection: Collection, body: dict[str, Any]) -> Any:
    vector = body.get("query")
    if isinstance(vector, dict):
        vector = vector.get("nearest")
    found = collection.search(vector or [], body.get("filter"), body.get("limit") or 10)
    return {"points": [{**_told(point, body), "version": 0, "score": score} for point, score in found]}


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
            except QdrantError as error:
                return JSONResponse({"status": {"error": error.message}, "time": 0.0}, error.status)
            except (KeyError, TypeError, ValueError) as error:
                return JSONResponse({"status": {"error": f"Format error: {error!r}"}, "time": 0.0}, 400)
            return JSONResponse({"result": result, "status": "ok", "time": 0.0})

        return answer

    return Starlette(routes=[Route(path, endpoint(action), methods=[method]) for method, path, action in _ROUTES])

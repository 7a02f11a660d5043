"""A route is one declaration: its path, what it takes, what it answers. The OpenAPI document follows from it.

What a route takes is one pydantic model, the daemon's own: from the JSON body of POST and PATCH, from the query string of
GET and DELETE. FastAPI finds the route and describes it; who asks, and whether what is asked is right, is seen to here, so
that both backends refuse in the same words.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response, Security, params
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from hosted.edge.idempotency import once
from hosted.edge.problems import PROBLEM, methods_of
from hosted.edge.rates import admit
from hosted.identity.principal import Principal, bearer, current
from hosted.memories.service import Backend, Memories
from jmem.core.actor import Actor
from jmem.core.errors import TooLarge
from jmem.core.model import MAX_ANSWER_BYTES
from jmem.core.wire.base import Ask, parse_query, wants_lists
from jmem.core.wire.common import ROOM, bounded
from jmem.core.wire.refusals import HttpProblem

PREFIX = "/api/v1"
_TITLES = {401: "No token, or a wrong one", 403: "Not permitted", 404: "There is no such thing",
           409: "Ambiguous, or changed since it was read", 410: "The account was deleted", 413: "Too large",
           422: "Something in the request is not as it should be", 426: "Made by a newer version",
           429: "Too many requests", 503: "Not now: ask again"}  # fmt: skip
MAX_BODY_BYTES = 1024 * 1024
"""Bytes of a body, where a route takes no list of memories: a text of 64 KiB with every byte escaped, and room."""
ALWAYS = (401, 403, 410, 422, 429, 503)
IDEMPOTENCY = {
    "Idempotency-Key": "a random text for each thing to be done: sent again within a day with the same request, it is not"
    " done again and the same answer comes"
}
_ID = {"type": "string", "pattern": "^[0-9a-f-]{4,36}$", "description": "an id, or any part of one that fits no other"}

A = TypeVar("A", bound=BaseModel)
Who = Callable[[Request], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a route."""

    request: Request
    principal: Principal
    backend: Backend

    @property
    def memories(self) -> Memories:
        """The memories of the account that asks: of no other, whatever the request says."""
        return self.backend.of(self.principal.user_id)

    @property
    def actor(self) -> Actor:
        """What the one who asks may do."""
        return self.principal.actor

    @property
    def params(self) -> Mapping[str, str]:
        """The parameters of the path."""
        return self.request.path_params


class _Route(APIRoute):
    """A route whose endpoint takes the request and nothing else: FastAPI's search for what it may need takes as long as half
    of what the route does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself. Raises TypeError where something else is to run before it: it would not."""
        if any(not isinstance(one, params.Security) for one in self.dependencies):
            raise TypeError(f"{self.path}: a dependency would never run; the endpoint asks itself for what it needs")
        return self.endpoint


class Routes:
    """A group of routes; each decorator declares one. `proofs` are the ways in which one may say who asks.

    With `any_query`, one that takes a body ignores a query string.
    """

    def __init__(
        self,
        group: str,
        prefix: str = PREFIX,
        *,
        proofs: Sequence[Callable[..., Any]] = (bearer,),
        any_query: bool = False,
    ) -> None:
        self.group, self._any_query = group, any_query
        self._proofs = [Security(proof) for proof in proofs]  # for the document: a route reads them itself
        self.router = APIRouter(prefix=prefix, tags=[group], route_class=_Route)

    def route(
        self, method: str, path: str, ask: type[A], summary: str, *, answers: Mapping[int, Any],
        problems: tuple[int, ...] = (), headers: Mapping[str, str] | None = None, who: Who = current,
        body_limit: int = MAX_BODY_BYTES, writes: bool | None = None, also: tuple[str, ...] = (),
    ) -> Callable[[Callable[[Call, A], Awaitable[Response]]], Callable[[Call, A], Awaitable[Response]]]:  # fmt: skip
        """Declare a route. `answers` are the models (or a media type) by status, `problems` statuses beyond ALWAYS.

        One that `writes` (all but GET, unless told otherwise) takes an Idempotency-Key. `also` are other spellings of its
        path.
        """
        once_only = method != "GET" if writes is None else writes
        if once_only:
            headers, problems = {**(headers or {}), **IDEMPOTENCY}, (*problems, 409)

        def declare(handler: Callable[[Call, A], Awaitable[Response]]) -> Callable[[Call, A], Awaitable[Response]]:
            async def endpoint(request: Request) -> Response:
                principal = await who(request)
                await admit(principal)
                if request.path_params and request.method not in methods_of(request):
                    raise HTTPException(405)
                asked, raw = await _asked(request, ask, body_limit, any_query=self._any_query)
                call = Call(request, principal, request.app.state.backend)
                given = request.headers.getlist("idempotency-key") if once_only else []
                if not given:
                    return await handler(call, asked)
                return await _once(call, ",".join(given), raw, lambda: handler(call, asked))

            endpoint.__doc__ = handler.__doc__
            self.router.add_api_route(
                path, endpoint, methods=[method], summary=summary, name=handler.__name__, response_model=None,
                operation_id=f"{self.group}_{handler.__name__}", responses=_responses(summary, answers, problems),
                status_code=min(answers), openapi_extra=takes(path, ask, headers or {}), dependencies=self._proofs,
            )  # fmt: skip
            for other in also:
                self.router.add_api_route(other, endpoint, methods=[method], include_in_schema=False)
            return handler

        return declare


async def _asked(request: Request, ask: type[A], limit: int, *, any_query: bool) -> tuple[A, bytes]:
    """What is asked, and the body it was read from."""
    if not issubclass(ask, Ask):
        return parse_query(ask, request.scope["query_string"]), b""
    if request.scope["query_string"] and not any_query:
        raise HttpProblem(422, "unknown_field", "this address takes no query string", fix="put it into the body")
    raw = await body_of(request, limit)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if raw and media and media != "application/json" and not media.endswith("+json"):
        raise HttpProblem(415, "wrong_media_type", "the body has to be JSON", fix="send Content-Type: application/json")
    return _parsed(ask, raw or b"{}"), raw


def _parsed(ask: type[A], raw: bytes) -> A:
    """A body as what it asks. No garbage is looked for meanwhile: there is none, and with each million of small lists in a
    body that would take ten times as long as to read it."""
    gc.disable()
    try:
        return ask.model_validate_json(raw)
    finally:
        gc.enable()


async def _once(call: Call, given: str, raw: bytes, run: Callable[[], Awaitable[Response]]) -> Response:
    request = call.request
    asked = [request.method, request.url.path, request.url.query, request.headers.get("if-match", "")]
    told = b"\0".join([*(one.encode() for one in asked), raw])
    patience: float = request.app.state.settings.request_timeout
    return await once(call.backend.database, call.principal, given, told, patience, run)


async def body_of(request: Request, limit: int) -> bytes:
    """The body of a request; raises TooLarge before more than `limit` bytes are held."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a request has at most {limit:,} bytes", limit=limit, fix="send it in parts")


# ---- answers ----------------------------------------------------------------------------------


def answer(value: Any, status: int = 200) -> Response:
    """`value` as a JSON answer."""
    return Response(to_json(value), status, media_type="application/json")


class Made(Sequence[Any]):
    """A list of which only the items that are looked at are made."""

    def __init__(self, of: Sequence[Any], make: Callable[[Any], Any]) -> None:
        self._of, self._make = of, make

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, at: Any) -> Any:
        return self._make(self._of[at])


def listing(name: str, items: Sequence[Any], head: Mapping[str, Any] = {}, *, newest_last: bool = False) -> Response:
    """`{…head, name: [items]}`; where they don't all fit into one answer, the first (or newest) ones and `truncated`."""
    pieces = bounded(reversed(items) if newest_last else items)
    about = {**head, **({"truncated": True} if len(pieces) < len(items) else {})}
    return _joined(name, list(reversed(pieces)) if newest_last else pieces, about)


def listings(lists: Mapping[str, Sequence[Any]], head: Mapping[str, Any]) -> Response:
    """As `listing`, for several lists that share the room of one answer."""
    fitting = {name: bounded(items, (MAX_ANSWER_BYTES - ROOM) // len(lists)) for name, items in lists.items()}
    cut = any(len(fitting[name]) < len(items) for name, items in lists.items())
    parts = [to_json(name) + b":[" + b",".join(pieces) + b"]" for name, pieces in fitting.items()]
    about = to_json({**head, **({"truncated": True} if cut else {})})[1:]
    return Response(b"{" + b",".join(parts) + b"," + about, media_type="application/json")


async def page(
    name: str, fetch: Callable[[int], Awaitable[tuple[Sequence[Any], str | None]]], limit: int, **tail: Any
) -> Response:
    """One page of `fetch(limit)`: (dicts, next cursor); a shorter one where a full one would be too large an answer."""
    items, cursor = await fetch(limit)
    # a shorter page knows where the next one begins; what was written meanwhile may not fit into it either
    while len(text := to_json(items)) > MAX_ANSWER_BYTES - ROOM and (fitting := len(bounded(items))) < len(items):
        items, cursor = await fetch(fitting)
    return _joined(name, [text[1:-1]], {"next_cursor": cursor, **tail})


def _joined(name: str, pieces: Sequence[bytes], about: Mapping[str, Any]) -> Response:
    start = to_json(about)[:-1] + (b"," if about else b"")
    body = start + to_json(name) + b":[" + b",".join(pieces) + b"]}"
    return Response(body, media_type="application/json")


# ---- OpenAPI ----------------------------------------------------------------------------------


def takes(path: str, ask: type[BaseModel], headers: Mapping[str, str] = {}) -> dict[str, Any]:
    """What OpenAPI tells of what a route takes."""
    schema = ask.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _ID if name == "id" else {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in headers.items()
    ]
    if issubclass(ask, Ask):
        body = {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}}
        return {"parameters": parameters, "requestBody": body}
    lists = wants_lists(ask)
    for name, given in schema.get("properties", {}).items():
        parameter = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _plain(given),
        }
        parameters.append(parameter | ({"style": "form", "explode": True} if name in lists else {}))
    return {"parameters": parameters}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter's schema without null, which a query string can't say."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return {**options[0], **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}
    return schema


def _responses(summary: str, answers: Mapping[int, Any], problems: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for status, given in answers.items():
        if isinstance(given, str):
            found[status] = {"description": summary, "content": {given: {"schema": {"type": "string"}}}}
        else:
            found[status] = {"description": summary, "model": given}
    return found | problems_of(*problems, *ALWAYS)


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI tells of the problems of a route: those of these statuses, and any other."""
    problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": _TITLES.get(status, "Problem"), "content": problem} for status in sorted(set(statuses))
    }
    return {**found, "default": {"description": "Any other problem", "content": problem}}

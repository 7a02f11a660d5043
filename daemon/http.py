"""A route is one declaration: its path, what it takes, what it answers. Dispatch and the OpenAPI document follow from it.

No web framework stands between the socket and a route: importing one costs more than a third of a cold start, and its
dispatch more than the search of a small store. What a route takes is one pydantic model, from the JSON body of
POST and PATCH and from the query string of GET and DELETE; fields it does not have are refused.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

if TYPE_CHECKING:
    from daemon.context import Daemon
    from daemon.security import Identity
    from daemon.users import UserMemory
    from jmem.core.actor import Actor

Headers = tuple[tuple[bytes, bytes], ...]

JSON = "application/json"
PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"
ZIP = "application/zip"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body already encoded."""

    status: int = 200
    body: bytes = b""
    media: str = JSON
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is sent piece by piece; `pieces` is closed when the reader goes away."""

    pieces: AsyncIterator[bytes] | Iterator[bytes]
    media: str
    headers: Headers = ((b"cache-control", b"no-store"),)


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """`value` as a JSON answer."""
    return Answer(status, to_json(value), JSON, headers)


@dataclass(slots=True)
class Call:
    """One request on its way through a route."""

    route: Route
    params: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    daemon: Daemon
    identity: Identity
    id: str
    _user: UserMemory | None = None
    _actor: Actor | None = None

    @property
    def user(self) -> UserMemory:
        """The memory of the user who asks."""
        assert self._user is not None
        return self._user

    @property
    def actor(self) -> Actor:
        """The program that asks, with all that the owner may."""
        assert self._actor is not None
        return self._actor

    def serve(self, user: UserMemory, actor: Actor) -> None:
        """Bind the request to a user's memory before its route runs."""
        self._user, self._actor = user, actor


A = TypeVar("A", bound=BaseModel)
Handler = Callable[[Call, Any], Answer | Stream]
AsyncHandler = Callable[[Call, Any], Awaitable[Answer | Stream]]


@dataclass(frozen=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    handler: Handler | AsyncHandler
    ask: type[BaseModel]
    summary: str
    group: str
    answers: Mapping[int, Any]
    """status -> pydantic model (or several), or a media type for answers that are no JSON"""
    problems: tuple[int, ...]
    writes: bool
    """creates the user if there is none of that name yet"""
    needs_user: bool
    headers: Mapping[str, str]
    """request headers with a meaning of their own, and what they mean"""
    segments: tuple[str, ...]
    asynchronous: bool
    """runs on the event loop instead of in a thread"""


class Routes:
    """A group of routes; each decorator declares one."""

    def __init__(self, group: str, prefix: str = "/api/v1") -> None:
        self.group = group
        self.prefix = prefix
        self.all: list[Route] = []

    def route(
        self, method: str, path: str, ask: type[A], summary: str, *, answers: Mapping[int, Any],
        problems: tuple[int, ...] = (), writes: bool = False, needs_user: bool = True, headers: Mapping[str, str] | None = None,
    ) -> Callable[[Callable[[Call, A], Any]], Callable[[Call, A], Any]]:  # fmt: skip
        """Declare a route. The handler runs in a thread unless it is a coroutine function.

        `problems` are the statuses of problem documents beyond 422, which every route may answer.
        """

        def declare(handler: Callable[[Call, A], Any]) -> Callable[[Call, A], Any]:
            full = self.prefix + path
            self.all.append(Route(method, full, handler, ask, summary, self.group, answers, problems, writes, needs_user,
                                  headers or {}, tuple(full.split("/")), inspect.iscoroutinefunction(handler)))  # fmt: skip
            return handler

        return declare


class Table:
    """Finds the route of a method and a path."""

    def __init__(self, groups: list[Routes]) -> None:
        self.routes = [route for group in groups for route in group.all]
        self._fixed: dict[str, dict[str, Route]] = {}
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in self.routes:
            if "{" not in route.path:
                self._fixed.setdefault(route.path, {})[route.method] = route
                continue
            shapes = self._by_length.setdefault(len(route.segments), [])
            methods = next((methods for segments, methods in shapes if segments == route.segments), None)
            if methods is None:
                methods = {}
                shapes.append((route.segments, methods))
            methods[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        """The routes of a path by method, and the values of its parameters; no routes when there is no such path."""
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, {}
        given = path.split("/")
        for segments, methods in self._by_length.get(len(given), ()):
            if all(s == g or (s[:1] == "{" and g) for s, g in zip(segments, given, strict=True)):
                return methods, {s[1:-1]: g for s, g in zip(segments, given, strict=True) if s[:1] == "{"}
        return {}, {}

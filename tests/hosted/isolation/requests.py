"""Requests made from the OpenAPI document: for every operation legal ones, in which places are left for what is somebody's.

What names something of an account (an id, a cursor, a tag …) is a place; what does not is plain. Every parameter and every
field has to be one of both: a new one that is neither fails the suite, as does a new operation of which no legal request
can be made.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

from hosted.app import app_of
from hosted.settings import Settings

NEW = "something new"
"""A text that is another one each time."""
WHERE = "tests/hosted/isolation/requests.py"


@dataclass(frozen=True)
class Place:
    """Where something of somebody's goes."""

    name: str


MEMORY, OTHER, KEY, CONNECTION = Place("memory"), Place("other"), Place("key"), Place("connection")
CURSOR, ACTION, STAMP, USER, EMAIL = Place("cursor"), Place("action"), Place("stamp"), Place("user"), Place("email")
TAG, THREAD, SOURCE, CLIENT, WORDS = Place("tag"), Place("thread"), Place("source"), Place("client"), Place("words")
DEVICE, SEQ, OP, ACCESS, UNIQUE = Place("device"), Place("seq"), Place("op"), Place("access"), Place("unique")

APP, CATEGORY = Place("app"), Place("category")
"""Ids that programs written for OpenMemory know clients and tags by."""
MACHINE = Place("machine")
"""A device that syncs with a key of its own."""
WAITING = Place("waiting")
"""A memory that waits for its owner's word."""
CONFLICT = Place("conflict")
"""A memory with texts that were written apart; the stamp beside it is that of one of them."""
NAMES: Mapping[str, Place] = {
    "id": MEMORY, "memory_id": MEMORY, "memory": MEMORY, "a": MEMORY, "b": OTHER, "other": OTHER, "supersedes": OTHER, "key": KEY,
    "connection": CONNECTION, "cursor": CURSOR, "upto": ACTION, "rev": STAMP, "If-Match": STAMP, "version": STAMP,
    "store": USER, "confirm": EMAIL, "query": WORDS, "Last-Event-ID": SEQ, "after": ACCESS, "before": ACCESS,
    "ids": MEMORY, "memory_ids": MEMORY, "app_id": APP, "app_ids": APP, "category_ids": CATEGORY, "user_id": USER,
    "search_query": WORDS, "categories": TAG, "stamps": STAMP, "then": OTHER,
}  # fmt: skip
"""Parameters and fields that name something of an account, wherever they are."""
PATHS: Mapping[str, Place] = {"device": MACHINE}
"""The same in a path alone."""
CONFLICTS = "/api/v1/conflicts"
"""Below it, an id is one of a conflict."""
FILTERS: Mapping[str, Place] = {
    "tag": TAG, "tags": TAG, "thread": THREAD, "source": SOURCE, "client": CLIENT, "clients": CLIENT, "device": DEVICE,
    "account": USER,
}  # fmt: skip
"""The same, where something is looked for by them (in a query string, and in the bodies of READS)."""
PLAIN = frozenset((
    "limit", "offset", "sort", "state", "states", "deleted", "expired", "as_of", "since", "until", "privacy", "count",
    "purge", "what", "content", "access", "metadata", "speaker", "occurred_at", "expires_at", "infer", "secrets",
    "add_tags", "remove_tags", "mode", "fold", "explain", "n", "redo", "dry_run", "name", "read", "write", "delete",
    "expires_in_days", "overlap_seconds", "scope", "least", "distinct", "other_version", "decision", "all", "review",
    "writes_per_hour", "tags", "thread", "source", "client", "device", "format", "history", "operations", "ops",
    "Idempotency-Key", "page", "page_size", "size", "from_date", "to_date", "show_archived", "sort_column", "sort_direction",
    "app", "app_name", "all_for_app", "global_pause", "is_active", "sort_by", "text", "memory_content",
    "under", "behind", "how",
))  # fmt: skip
"""Parameters and fields that name nothing, or only what the request itself makes."""
VALUES: Mapping[str, Any] = {
    "content": NEW, "name": "made", "client": "claude", "since": "2020-01-01", "device": "laptop", "other": OTHER,
    "text": NEW, "memory_content": "changed",
}  # fmt: skip
"""What plain required fields are given."""
OPENMEMORY = "/openmemory/api/v1"
READS = frozenset(("POST /api/v1/search", f"POST {OPENMEMORY}/memories/filter"))
_NEW = {"op": "add", "content": NEW}
LEGAL: Mapping[str, list[Any]] = {
    "PATCH /api/v1/memories/{id}": [{"content": "changed"}, {"state": "paused"}, {"supersedes": OTHER}],
    "POST /api/v1/memories": [{"content": NEW}, {"content": UNIQUE}, {"content": "again", "supersedes": OTHER}],
    "POST /api/v1/memories/batch": [
        {"operations": [_NEW, {"op": "edit", "id": MEMORY, "content": "changed"}]},
        {"operations": [{"op": "delete", "id": MEMORY}, {"op": "restore", "id": MEMORY}, {"op": "purge", "id": MEMORY}]},
        {"operations": [_NEW | {"supersedes": OTHER}]},
    ],
    "POST /api/v1/memories/{id}/restore": [{}, {"rev": STAMP}],
    "POST /api/v1/search": [
        {"query": WORDS, "mode": "text"}, {"query": WORDS}, {"query": WORDS, "mode": "vector", "explain": True},
        {"query": "boat", "mode": "text", "tags": [TAG]}, {"query": "boat", "mode": "text", "clients": [CLIENT]},
        {"query": "boat", "mode": "text", "thread": THREAD}, {"query": "boat", "mode": "text", "source": SOURCE},
    ],
    "POST /api/v1/undo": [{"dry_run": True}, {"client": CLIENT, "upto": ACTION}, {"n": 50, "dry_run": True}, {"n": 1}],
    "POST /api/v1/review": [{"decision": "approve", "ids": [WAITING]}, {"decision": "reject", "all": True}],
    f"POST {CONFLICTS}/{{id}}": [{"how": "keep", "version": STAMP}, {"how": "both"}, {"how": "text", "content": NEW}],
    "POST /api/v1/sync/push": [{"device": "laptop", "ops": [OP]}, {"device": DEVICE, "ops": []}],
    "POST /api/v1/sync/mend": [{"ids": [MEMORY]}],
    "PATCH /api/v1/keys/{key}": [{"name": "changed"}],
    f"POST {OPENMEMORY}/memories/": [
        {"text": NEW, "infer": False, "user_id": USER}, {"text": UNIQUE, "infer": False}, {"text": NEW, "infer": True},
    ],
    f"POST {OPENMEMORY}/memories/filter": [
        {"user_id": USER}, {"app_ids": [APP]}, {"category_ids": [CATEGORY], "show_archived": True}, {"search_query": WORDS},
    ],
    f"PUT {OPENMEMORY}/memories/{{memory_id}}": [{"memory_content": "changed", "user_id": USER}],
    f"DELETE {OPENMEMORY}/memories/": [{"memory_ids": [MEMORY], "user_id": USER}],
    f"POST {OPENMEMORY}/memories/actions/archive": [{"memory_ids": [MEMORY], "user_id": USER}, [OTHER]],
    f"POST {OPENMEMORY}/memories/actions/pause": [
        {"memory_ids": [MEMORY], "state": "paused", "user_id": USER}, {"app_id": APP}, {"category_ids": [CATEGORY]},
        {"global_pause": True}, {"memory_ids": [OTHER], "state": "deleted"},
    ],
    "PATCH /api/v1/connections/{connection}": [{"name": "changed"}],
}  # fmt: skip
"""Bodies of operations of which the document alone does not say enough."""
UNTOKENED = frozenset(("POST /api/v1/devices/redeem",))
"""They take no token and change what is named by what is sent: whoever has that is who it is for (identity/test_devices)."""
ENDS = frozenset(("DELETE /api/v1/account", "POST /api/v1/account/sign-out"))
"""They end a session or an account: done by people of their own."""


@dataclass(frozen=True)
class Request:
    """A request, which may have places in it."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    new: frozenset[str] = frozenset()
    """the places that no request before had"""

    @property
    def places(self) -> set[str]:
        """The names of all places."""
        return {place.name for place in _places([self.params, self.query, self.headers, self.body])}

    def filled(self, values: Mapping[str, Any]) -> Request:
        """With what goes into each place."""

        def fill(one: Any) -> Any:
            if isinstance(one, Place):
                return values[one.name]
            if one == NEW:
                return f"{NEW} {uuid.uuid4().hex}"
            if isinstance(one, Mapping):
                return {name: fill(value) for name, value in one.items()}
            return [fill(value) for value in one] if isinstance(one, list) else one

        return replace(
            self, params=fill(self.params), query=fill(self.query), headers=fill(self.headers), body=fill(self.body)
        )

    @property
    def url(self) -> str:
        """The path as it is asked."""
        return re.sub(r"{(\w+)(?::path)?}", lambda found: str(self.params[found[1]]), self.path)

    def text(self) -> str:
        """All that is sent, in one."""
        return json.dumps([self.url, self.query, self.headers, self.body], ensure_ascii=False)


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the OpenAPI document tells of it."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def streams(self) -> bool:
        """Whether its answer does not end."""
        return "text/event-stream" in self.described["responses"].get("200", {}).get("content", {})

    def requests(self) -> list[Request]:
        """Legal requests, the shortest first, then one for each place that it has not."""
        given = self.described.get("parameters", [])
        path = {one["name"]: self._named(one["name"], must=True) for one in given if one["in"] == "path"}
        query = {one["name"]: self._value(one["name"]) for one in given if one["in"] == "query" and one.get("required")}
        made = [Request(self.method, self.path, path, query, body=body) for body in self._bodies()]
        for one in given:
            place = None if one["in"] == "path" else self._named(one["name"], query=one["in"] == "query")
            if place is not None and one["name"] not in query:
                kind = "query" if one["in"] == "query" else "headers"
                more = {**getattr(made[0], kind), one["name"]: place}
                made.append(replace(made[0], **{kind: more}))
        known: set[str] = set()
        found = []
        for request in made:
            found.append(replace(request, new=frozenset(request.places - known)))
            known |= request.places
        return found

    def _bodies(self) -> Iterator[Any]:
        """Bodies: those of LEGAL, or the required fields, then each place."""
        told = self.described.get("requestBody")
        if told is None:
            yield None
            return
        schema = told["content"].get("application/json", {}).get("schema", {})
        fields = schema.get("properties", {})
        named = {name: self._named(name, query=self.name in READS) for name in fields}
        if self.name in LEGAL:
            yield from LEGAL[self.name]
            return
        plain = {name: self._value(name) for name in schema.get("required", ())}
        yield plain
        for name, place in named.items():
            if place is not None and name not in plain:
                yield {**plain, name: [place] if fields[name].get("type") == "array" else place}

    def _named(self, name: str, *, query: bool = False, must: bool = False) -> Place | None:
        if name == "id" and self.path.startswith(CONFLICTS):
            return CONFLICT
        if must and name in PATHS:
            return PATHS[name]
        if name in NAMES:
            return NAMES[name]
        if query and name in FILTERS:
            return FILTERS[name]
        assert name in PLAIN, (
            f"{self.name}: does {name!r} name something of an account? Say so in NAMES, FILTERS or PLAIN of {WHERE}"
        )
        assert not must, f"{self.name}: what does {name!r} in the path name? Say so in NAMES of {WHERE}"
        return None

    def _value(self, name: str) -> Any:
        if name in NAMES:
            return NAMES[name]
        assert name in VALUES, (
            f"{self.name}: what is a legal {name!r}? Say so in VALUES of {WHERE}, or give whole bodies in LEGAL"
        )
        return VALUES[name]


def _places(one: Any) -> Iterator[Place]:
    if isinstance(one, Place):
        yield one
    elif isinstance(one, Mapping | list):
        for value in one.values() if isinstance(one, Mapping) else one:
            yield from _places(value)


def operations_of(app: FastAPI, prefix: str = "") -> list[Operation]:
    """Every operation of an app and of the apps mounted in it."""
    found = [
        Operation(method.upper(), prefix + path, described)
        for path, item in app.openapi()["paths"].items()
        for method, described in item.items()
        if method in ("get", "post", "put", "patch", "delete", "head", "options", "trace")
    ]
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            found += operations_of(route.app, prefix + route.path)
    return found


@cache
def app() -> FastAPI:
    """The app, to be looked at; it has no database."""
    return app_of(
        Settings(database_url="postgresql://nobody@/nowhere", supabase_url="http://nowhere", supabase_anon_key="key")
    )


@cache
def operations() -> list[Operation]:
    """Every operation there is, in the order of the document."""
    found = operations_of(app())
    assert {one.name for one in found} >= UNTOKENED
    return [one for one in found if one.name not in UNTOKENED]

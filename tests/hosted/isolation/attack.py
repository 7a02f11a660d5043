"""Two accounts in one backend, and what the one tries with what is the other's."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from hosted.openmemory.answers import app_id, category_id
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce
from tests.hosted.isolation.requests import ENDS, NEW, OPENMEMORY, WHERE, Operation, Place, Request
from tests.hosted.world import Behind, Person, World

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_STAMP = re.compile(r"\b[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{8}\b")
_DIGEST = re.compile(r"\bsha256:[0-9a-f]{64}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
_OWN = re.compile(r'"(took_ms|now)":[\d.]+|"(key|hint|sse|http|request|nonce)":"[^"]*"')
_TEXT = re.compile(rf"({NEW}|mine) [0-9a-f]{{32}}")
_HEADERS = frozenset(("date", "content-length", "x-request-id", "server-timing"))
_FOLLOWING = frozenset(("index_heads", "index_state"))
"""Tables that follow the others, in their own time."""
FORGED = ("x-user", "x-user-id", "x-jmem-user", "x-jmem-user-id", "x-forwarded-user", "x-tenant-id", "x-supabase-user")


_KEYS: dict[uuid.UUID, str] = {}


class Leak(AssertionError):
    """Something of one account showed in another, or was changed from there."""


@dataclass
class Owner:
    """Whose things others try to reach. `canary` is in everything that has words; nobody else ever says it."""

    person: Person
    canary: str
    marks: dict[str, str]
    """what others may look for: a tag, a thread, a source, a client, a device, words"""
    secrets: set[str] = field(default_factory=set)
    things: dict[str, Any] = field(default_factory=dict)

    def memory(self, state: str = "active") -> str:
        """A new memory, edited once."""
        m = self.marks
        added = self.person.add(
            f"{self.canary} {m['words']} boat {uuid.uuid4().hex[:6]}", tags=[m["tag"]], thread=m["thread"], source=m["source"],
            client=m["client"], speaker=self.canary, metadata={"note": self.canary}, state=state,
        )  # fmt: skip
        edited = self.person.must("PATCH", f"/memories/{added['id']}", {"speaker": f"{self.canary}."})
        self.things["stamp"] = edited["version"]
        return str(added["id"])

    def fresh(
        self, world: World, wanted: set[str], path: str, plain: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Something of this account for each place, as the owner would name it."""
        person, made = self.person, dict(self.things)
        if "other" in wanted:
            made["other"] = self.memory()
        if wanted & {"memory", "stamp"}:
            made["memory"] = self.memory()
            made["stamp"] = self.things["stamp"]
        if "waiting" in wanted:
            made["waiting"] = self.memory("review")
        if "conflict" in wanted:
            made["conflict"], made["stamp"] = self.apart()
        if "unique" in wanted:
            made["unique"] = (
                person.must("GET", f"/memories/{made['memory']}")["content"] if "memory" in made else self.canary
            )
        if "key" in wanted:
            key = person.must("POST", "/keys", {"name": self.canary})
            made["key"] = key["id"]
            self.secrets |= {key["key"], key["hint"] + key["key"][8:12]}
        if "machine" in wanted:
            made["machine"] = f"machine-{uuid.uuid4().hex[:12]}"
            key = person.must("POST", "/keys", {"name": self.canary})["key"]
            self.secrets |= {key}
            headers = {"authorization": f"Bearer {key}", "x-jmem-device": made["machine"]}
            person.must("GET", "/sync/hello", headers=headers)
            world.settle()
        if "connection" in wanted:
            connection = person.must("POST", "/connections", {"client": self.marks["client"], "name": self.canary})
            made["connection"] = connection["id"]
            self.secrets |= {connection["sse"].rsplit("/", 1)[1]}
        if "action" in wanted:
            self.memory()
            made["action"] = person.must("GET", "/log")["actions"][0]["action"]
        if "cursor" in wanted:
            self.memory()
            if path.endswith("/conflicts"):
                for _ in range(2):
                    self.apart()
            if path.endswith("/sync/pull"):
                made["cursor"] = person.must("GET", "/sync/pull")["cursor"]
            else:
                page = person.ask("GET", path, params={"limit": 1, **(plain or {})})
                made["cursor"] = page.json().get("next_cursor")
                assert made["cursor"], (
                    f"GET {path}: how does one get a cursor of it? Say so in Owner.fresh of {__file__}"
                )
        if "seq" in wanted or "access" in wanted:
            made["seq"] = made["access"] = "1"
        if "op" in wanted:
            made["op"] = self.op()
        made["app"], made["category"] = app_id(self.marks["client"]), category_id(self.marks["tag"])
        return made | {"user": str(person.user), "email": person.email, **self.marks}

    def op(self, id: str | None = None) -> dict[str, Any]:
        """An op that was pushed."""
        return pushed(self.person, f"{self.canary} pushed", id, self.marks["client"], self.marks["device"])

    def apart(self) -> tuple[str, str]:
        """A memory with two texts that were written apart, and the stamp of one of them."""
        op = self.op(self.memory())
        return op["id"], op["stamp"]


def pushed(person: Person, text: str, id: str | None, client: str = "cli", device: str = "laptop") -> dict[str, Any]:
    """An op that brings a text of a memory, written by a machine that had not heard of another."""
    op = sealed({"content": text, "client": client}, id)
    assert person.must("POST", "/sync/push", {"device": device, "ops": [op]})["acked"] == [op["stamp"]]
    return op


def sealed(fields: Mapping[str, Any], id: str | None = None, *, purge: bool = False) -> dict[str, Any]:
    """An op as a device pushes it."""
    op = Op(Clock().tick(), id or new_id(), dict(fields), (), "cli", new_nonce(), purge).sealed()
    found: dict[str, Any] = json.loads(op.text())
    return found


def owner(world: World) -> Owner:
    """A new account with something of every kind."""
    mark = uuid.uuid4().hex[:8]
    canary = f"kanarie{uuid.uuid4().hex[:10]}"
    marks = {"tag": f"tag{mark}", "thread": f"thread{mark}", "source": f"source{mark}", "client": f"client{mark}",
             "device": f"device{mark}", "words": f"zanzibar{mark} lighthouse{mark}"}  # fmt: skip
    made = Owner(world.person(canary), canary, marks)
    person = made.person
    for state in ("paused", "archived"):
        person.must("PATCH", f"/memories/{made.memory()}", {"state": state})
    person.must("DELETE", f"/memories/{made.memory()}")
    newer = made.memory()
    person.add(f"{canary} newer", supersedes=newer, client=marks["client"])
    made.memory()
    made.op()
    person.must("POST", "/undo", {})
    person.must("POST", "/undo", {"redo": True})
    person.must("POST", "/search", {"query": f"{canary} lighthouse"})
    made.fresh(world, {"key", "connection"}, "")
    world.query(
        "INSERT INTO jmem.grants (user_id, client_id, client, name, can_read, can_write, can_delete)"
        " VALUES ($1, $2, $3, $4, true, true, true)", person.user, f"program-{canary}", marks["client"], canary,
    )  # fmt: skip
    return made


def stranger(world: World) -> Person:
    """Somebody else, who has memories as well."""
    person = world.person("stranger")
    mine = {"op": "add", "tags": ["mine"], "thread": "one", "client": "claude"}
    adds = [{**mine, "content": f"a boat of mine {n}"} for n in range(3)] + [{"op": "add", "content": "to be edited"}]
    added = person.must("POST", "/memories/batch", {"operations": adds})["results"]
    person.must("PATCH", f"/memories/{added[-1]['memory']['id']}", {"content": "edited"})
    return person


# ---- what is kept of an account ---------------------------------------------------------------


class Watch(Behind):
    """All rows of one account, as the superuser sees them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        found = self.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
            " WHERE c.relnamespace = 'jmem'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
        self.tables = sorted(record[0] for record in found)
        self._sql = " UNION ALL ".join(
            f"SELECT '{name} ' || row_to_json(t)::text FROM jmem.{name} t WHERE user_id IN ($1)"  # no filter that a layer takes out
            for name in self.tables if name not in _FOLLOWING
        )  # fmt: skip

    def of(self, user: uuid.UUID) -> list[str]:
        """Its rows, as text, in an order of their own."""
        return sorted(record[0] for record in self.fetch(self._sql, user))


def secrets_of(theirs: Owner, rows: list[str]) -> set[str]:
    """Whatever nobody else may be told: ids, stamps and digests of every row, keys, tokens, words."""
    text = "\n".join(rows)
    ids = set(_UUID.findall(text))
    found = ids | {id.replace("-", "") for id in ids} | set(_STAMP.findall(text)) | set(_DIGEST.findall(text))
    person = theirs.person
    return (
        found
        | theirs.secrets
        | set(theirs.marks.values())
        | {theirs.canary, person.token, person.refresh, person.email}
    )


# ---- trying -----------------------------------------------------------------------------------


@dataclass
class Attempt:
    """One stranger's requests, and all that they have said themselves."""

    who: Person
    theirs: Owner
    secrets: set[str]
    said: str = ""

    def send(self, request: Request) -> httpx.Response:
        """Ask as the stranger, and look for anything of the owner's in the answer."""
        forged = dict.fromkeys(FORGED, str(self.theirs.person.user))
        self.said += request.text() + str(self.theirs.person.user)
        body = {} if request.body is None else {"json": request.body}
        headers = forged | dict(request.headers) | proof(self.who, request.path)
        answer = self.who.ask(request.method, request.url, params=request.query, headers=headers, **body)
        self.look(f"{request.method} {request.url}", f"{answer.status_code} {answer.headers} {text_of(answer)}")
        return answer

    def look(self, where: str, told: str) -> None:
        """Raise Leak when something of the owner's was told that the stranger has not said."""
        low = told.lower()
        shown = [secret for secret in self.secrets if secret.lower() in low and secret not in self.said]
        if shown:
            raise Leak(f"{where} tells {shown[:5]}: {told[:1500]}")


def text_of(answer: httpx.Response) -> str:
    """What an answer says, also one that is an archive."""
    if answer.headers.get("content-type") != "application/zip":
        return answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())


def proof(person: Person, path: str) -> dict[str, str]:
    """What proves who somebody is where a session does not: a key, for programs written for OpenMemory."""
    if not path.startswith(OPENMEMORY):
        return {}
    if person.user not in _KEYS:
        _KEYS[person.user] = person.must("POST", "/keys", {"name": "openmemory"})["key"]
    return {"authorization": f"Bearer {_KEYS[person.user]}"}


def forms(place: str, value: Any) -> Iterator[tuple[Any, Any]]:
    """What of the owner's is tried in a place, and beside it something of nobody's that looks alike (or None)."""
    text = str(value)
    if place in ("memory", "other", "waiting", "conflict"):
        twin = new_id()
        yield value, twin
        yield value[:23], twin[:23]
        yield value.replace("-", "")[-12:], twin.replace("-", "")[-12:]
    elif place in ("key", "connection", "app", "category"):
        yield value, str(uuid.uuid4())
    elif place in ("tag", "thread", "source", "client", "device"):
        yield value, place + uuid.uuid4().hex[:8]
    elif place == "machine":
        yield value, f"machine-{uuid.uuid4().hex[:12]}"
    elif place == "words":
        yield value, f"zanzibar{uuid.uuid4().hex[:8]} lighthouse{uuid.uuid4().hex[:8]}"
    elif place == "email":
        yield value, f"{uuid.uuid4().hex}@example.com"
    elif place == "cursor" and ":" in text:
        yield value, f"{text.partition(':')[0]}:{uuid.uuid4().hex[:16]}"
    elif place == "stamp":
        yield value, Clock().tick()
    elif place == "op":
        yield value, sealed({"content": "nobody's", "client": "cli"})
        yield sealed({"content": "taken"}, value["id"]), sealed({"content": "taken"})
        yield sealed({}, value["id"], purge=True), sealed({}, purge=True)
        other = sealed({"content": "in its place"})
        yield {**other, "stamp": value["stamp"]}, {**other, "stamp": Clock().tick()}
    else:
        yield value, None


def attack(
    world: World, watch: Watch, theirs: Owner, operation: Operation, *, compare: bool = True, control: bool = True
) -> None:
    """Try an operation with everything of the owner's; raises Leak. Then the owner does the same, and may.

    With `compare` the answer has to be the one to the same request with something of nobody's.
    """
    ends = operation.name in ENDS
    who = stranger(world)
    proof(theirs.person, operation.path)
    for request in operation.requests():
        if ends:
            theirs, who = owner(world), stranger(world)
        plain = {name: value for name, value in request.query.items() if not isinstance(value, Place)}
        values = theirs.fresh(world, request.places, request.url if not request.params else "", plain)
        world.settle()
        before = watch.of(theirs.person.user)
        attempt = Attempt(who, theirs, secrets_of(theirs, before))
        for place in sorted(request.new) or [""]:
            _try(attempt, request, place, values, compare=compare)
        world.settle()
        after = watch.of(theirs.person.user)
        if before != after:
            raise Leak(f"{operation.name} changed another account: {sorted(set(before) ^ set(after))[:4]}")
        if control:
            mine = request.filled(values)
            body = {} if mine.body is None else {"json": mine.body}
            headers = dict(mine.headers) | proof(theirs.person, mine.path)
            done = theirs.person.ask(mine.method, mine.url, params=mine.query, headers=headers, **body)
            assert done.is_success, (
                f"{operation.name}: the owner may not do it either, so nothing is shown by it ({done.status_code} {done.text[:300]});"
                f" give a legal request in LEGAL or VALUES of {WHERE}"
            )


def _try(attempt: Attempt, request: Request, place: str, values: dict[str, Any], *, compare: bool) -> None:
    def ask(one: Any) -> httpx.Response:
        mine = _own(attempt.who, request.places - {place}, values)
        return attempt.send(request.filled(mine | {place: one}))

    for value, twin in list(forms(place, values[place])) if place else [("", None)]:
        answer = ask(value)
        if not compare or twin is None:
            continue
        told, known = plain(answer, value), plain(ask(twin), twin)
        if told != known:
            raise Leak(
                f"{request.method} {request.path} tells what is somebody's ({value}) from what is nobody's: {told} {known}"
            )


def _own(who: Person, wanted: set[str], values: dict[str, Any]) -> dict[str, Any]:
    """Things of the stranger's own for the places in which nothing of the owner's is tried."""
    made: dict[str, Any] = {}
    for name in wanted:
        match name:
            case "memory" | "other":
                made[name] = who.add(f"mine {uuid.uuid4().hex}")["id"]
            case "waiting":
                made[name] = who.add(f"mine {uuid.uuid4().hex}", state="review")["id"]
            case "conflict":
                made[name] = pushed(who, f"mine {uuid.uuid4().hex}", who.add(f"mine {uuid.uuid4().hex}")["id"])["id"]
            case "key":
                made[name] = who.must("POST", "/keys", {"name": "mine"})["id"]
            case "connection":
                made[name] = who.must("POST", "/connections", {"client": "claude"})["id"]
            case "stamp":
                made[name] = Clock().tick()
            case _:
                made[name] = values[name]
    return made


def changeless(text: str) -> str:
    """A text without what differs each time."""
    for each in (_TEXT, _UUID, _STAMP, _DIGEST, _TIME, _OWN):
        text = each.sub("…", text)
    return text


def plain(answer: httpx.Response, given: Any) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """An answer without what differs each time."""
    text = text_of(answer)
    for said in [given] if isinstance(given, str) else [given["stamp"], given["id"], given["digest"]]:
        text = text.replace(said, "…") if said else text
    text = changeless(text)
    headers = sorted((k, v) for k, v in answer.headers.items() if k not in _HEADERS and "ratelimit" not in k)
    return answer.status_code, text, tuple(headers)

"""Every MCP tool, called by a stranger with everything of another account; their arguments are read from tools/list."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.isolation.attack import Attempt, Watch, changeless, forms, owner, secrets_of, stranger
from tests.hosted.isolation.requests import NEW
from tests.hosted.world import Person, World, served

ACCEPT = {"accept": "application/json, text/event-stream"}
PLACES = {"query": "words", "memory_ids": "memory", "id": "memory", "tags": "tag", "cursor": "cursor"}
"""Arguments that name something of an account."""
VALUES = {"text": NEW, "query": "boat", "memory_ids": [], "id": ""}
PLAIN = frozenset(("text", "limit", "since", "until", "infer"))
"""Arguments that name nothing."""


@pytest.fixture(scope="module")
def world(databases: Databases, database_name: str, supabase: Running) -> Iterator[World]:
    url, behind = databases.cluster.url(database_name, APP), databases.cluster.url(database_name)
    with served(url, behind, supabase, vectors=False) as made:
        yield made


class Program:
    """A program with a personal URL."""

    def __init__(self, person: Person, client: str = "claude") -> None:
        self.person = person
        self.path = urlsplit(person.must("POST", "/connections", {"client": client})["http"]).path
        self.key = self.path.rsplit("/", 1)[1]

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.person.http.post(self.path, json=body, headers=ACCEPT)
        assert answer.status_code == 200, answer.text
        data = answer.text if answer.text.startswith("{") else answer.text.partition("data: ")[2].splitlines()[0]
        found: dict[str, Any] = json.loads(data)
        return found

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        given = {name: f"{NEW} {uuid.uuid4().hex}" if value == NEW else value for name, value in arguments.items()}
        told: dict[str, Any] = self.ask("tools/call", {"name": name, "arguments": given})
        return told.get("result") or told


def test_no_tool_shows_or_changes_another_account(world: World) -> None:
    theirs = owner(world)
    mine = Program(theirs.person, theirs.marks["client"])
    theirs.secrets.add(mine.key)
    tools = mine.ask("tools/list", {})["result"]["tools"]
    assert len(tools) >= 4
    with contextlib.closing(Watch(world.owner_url)) as watch:
        for tool in tools:
            who = stranger(world)
            attack(world, watch, Attempt(who, theirs, set()), mine, Program(who), tool)


def attack(world: World, watch: Watch, attempt: Attempt, mine: Program, program: Program, tool: dict[str, Any]) -> None:
    theirs = attempt.theirs
    name, schema = tool["name"], tool["inputSchema"]
    fields = schema["properties"]
    unknown = fields.keys() - PLACES.keys() - PLAIN
    assert not unknown, f"{name}: do {unknown} name something of an account? Say so in PLACES or PLAIN of {__file__}"
    required = {field: VALUES[field] for field in schema.get("required", ())}
    for field in [each for each in fields if each in PLACES] or [""]:
        values = theirs.fresh(world, {"memory", "stamp"}, "") | {"cursor": _cursor(mine)}
        world.settle()
        before = watch.of(theirs.person.user)
        attempt.secrets = secrets_of(theirs, before)
        place = PLACES.get(field, "")
        tried = list(forms(place, values[place])) if field else [(None, None)]
        for value, twin in tried:
            told = []
            asks = tool["annotations"]["readOnlyHint"] or place == "memory"  # what is added resembles what was
            for one in (value, twin) if twin and asks else (value,):
                given = required | ({field: [one] if fields[field].get("type") == "array" else one} if field else {})
                attempt.said += json.dumps(given)
                answer = json.dumps(program.call(name, **given))
                attempt.look(f"{name}({given})", answer)
                told.append(_plain(answer, str(one)))
            assert len(set(told)) == 1 or field == "query", f"{name}: {field} tells {value} from nothing: {told}"
        world.settle()
        assert watch.of(theirs.person.user) == before, f"{name} changed another account"
    given = dict(required)
    for each in given:
        if each in ("memory_ids", "id"):
            given[each] = [values["memory"]] if each == "memory_ids" else values["memory"]
    control = mine.call(name, **given)
    assert not control.get("isError"), control
    if name != "add_memories":
        assert theirs.canary in json.dumps(control) or values["memory"] in json.dumps(control), f"{name}: no control"


def _cursor(mine: Program) -> str:
    mine.person.add(f"one more {uuid.uuid4().hex}")
    structured = mine.call("list_memories", limit=1)["structuredContent"]
    return str(structured["next_cursor"])


def _plain(answer: str, given: str) -> str:
    return changeless(answer.replace(given, "…"))

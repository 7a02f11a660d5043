"""What one request and its answer do not show: streams, answers kept for repeats, the vector index, what one account's
being there changes for another."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hosted.vectors.client import Found, Vectors
from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.isolation.attack import FORGED, Attempt, Leak, Owner, Watch, owner, plain, secrets_of, stranger
from tests.hosted.isolation.layers import unfiltering
from tests.hosted.isolation.requests import Operation, Request, operations
from tests.hosted.world import Person, World, served, until

STREAMS = [one for one in operations() if one.streams]
LISTS = [one for one in operations() if one.method == "GET" and not one.streams and "{" not in one.path]


@pytest.fixture(scope="module")
def world(databases: Databases, database_name: str, supabase: Running) -> Iterator[World]:
    """With a vector index."""
    with served(databases.cluster.url(database_name, APP), databases.cluster.url(database_name), supabase) as made:
        yield made


@pytest.fixture(scope="module")
def watch(world: World) -> Iterator[Watch]:
    with contextlib.closing(Watch(world.owner_url)) as made:
        yield made


@pytest.fixture(scope="module")
def theirs(world: World) -> Owner:
    return owner(world)


@contextlib.contextmanager
def heard(person: Person, operation: Operation, said: dict[str, str]) -> Iterator[list[str]]:
    """What a stream tells, while it is open."""
    told: list[str] = []
    ended = threading.Event()
    headers = {"host": "jmem", "authorization": f"Bearer {person.token}", **said}
    lines = [f"{operation.method} {operation.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    address = person.http.base_url
    with socket.create_connection((address.host, address.port or 80), timeout=10) as conn:
        conn.sendall("\r\n".join([*lines, "", ""]).encode())
        conn.settimeout(0.05)

        def listen() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    told.append(conn.recv(65536).decode())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        until(lambda: "data:" in "".join(told), f"the stream does not begin: {told}")
        yield told
        ended.set()
        thread.join(5)


@pytest.mark.parametrize("operation", STREAMS, ids=lambda one: one.name)
def test_a_stream_tells_of_its_own_account_alone(
    world: World, watch: Watch, theirs: Owner, operation: Operation
) -> None:
    who = stranger(world)
    attempt = Attempt(who, theirs, set())
    forged = dict.fromkeys(FORGED, str(theirs.person.user)) | {"last-event-id": "1"}
    with heard(who, operation, forged) as told, heard(theirs.person, operation, {}) as control:
        begun = len(control)
        theirs.memory()
        until(lambda: len(control) > begun, "the owner does not hear of it either")
        before = len(told)
        who.add(f"mine {uuid.uuid4().hex}")  # comes after what was the owner's
        until(lambda: len(told) > before, "the stranger does not hear of their own")
    attempt.secrets = secrets_of(theirs, watch.of(theirs.person.user))
    attempt.look(operation.name, "".join(told))


def test_an_answer_kept_for_a_repeat_is_its_askers_alone(world: World, watch: Watch, theirs: Owner) -> None:
    key = {"idempotency-key": uuid.uuid4().hex}
    body = {"content": f"told once {uuid.uuid4().hex}"}
    mine = theirs.person.must("POST", "/memories", body, headers=key)
    again = theirs.person.ask("POST", "/api/v1/memories", json=body, headers=key)
    assert again.json()["id"] == mine["id"]  # the control: the owner is told the same again
    who = stranger(world)
    attempt = Attempt(who, theirs, secrets_of(theirs, watch.of(theirs.person.user)))
    answer = attempt.send(Request("POST", "/api/v1/memories", headers=key, body=body))
    assert answer.status_code == 201
    assert answer.json()["id"] != mine["id"]


@pytest.mark.parametrize("operation", LISTS, ids=lambda one: one.name)
def test_that_somebody_else_is_there_changes_no_answer(world: World, operation: Operation) -> None:
    """Counts, orders, numbers of actions: as if one were alone."""
    who = stranger(world)
    (request, *_) = operation.requests()
    request = request.filled({name: who.must("GET", "/memories")["memories"][0]["id"] for name in request.places})

    def ask() -> Any:
        world.settle()
        return plain(who.ask(request.method, request.url, params=request.query), "")

    ask()
    alone, other = ask(), owner(world)
    other.memory()
    beside = ask()
    assert other.canary not in str(beside)
    if not operation.path.endswith(("/access", "/account/export")):  # which have grown by what was asked here
        assert beside == alone


# ---- the vector index -------------------------------------------------------------------------


def search(who: Person, words: str, mode: str) -> list[str]:
    told = who.must("POST", "/search", {"query": words, "mode": mode})
    assert "degraded" not in told, told
    return [hit["content"] for hit in told["results"]]


@pytest.fixture
def two(world: World) -> tuple[Person, Person]:
    """Two people who keep the same secret in other words, all of it in the vector index."""
    made = []
    for name in ("ann", "bob"):
        person = world.person(name)
        for n in range(3):
            person.add(f"{name}'s secret recipe {n}")
        made.append(person)
    for person in made:
        world.indexed(person.user)
    return made[0], made[1]


def everybodys(world: World) -> list[str]:
    return [
        point.payload["id"]
        for collection in world.store.collections.values()
        for points in collection.tenants.values()
        for point in points.values()
    ]


@pytest.fixture
def of_everybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vector index forgets the tenant in its searches."""

    async def found(self: Vectors, *args: Any) -> Found:
        return Found([(id, 1.0) for id in everybodys(world)], {})

    monkeypatch.setattr(Vectors, "search", found)


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_rows_confirm_what_the_index_finds(two: tuple[Person, Person], of_everybody: None, mode: str) -> None:
    for person, name in zip(two, ("ann", "bob"), strict=True):
        found = search(person, "secret recipe", mode)
        assert len(found) == 3
        assert all(text.startswith(name) for text in found)


def test_the_index_finds_the_askers_alone(databases: Databases, supabase: Running) -> None:
    """Its tenant filter holds where every row is everybody's; without it as well all shows, or this would show nothing."""
    name = databases.make()
    url = databases.cluster.url(name)
    with served(url, url, supabase) as world:
        ann, bob = world.person("ann"), world.person("bob")
        for person, who in ((ann, "ann"), (bob, "bob")):
            person.add(f"{who}'s secret recipe")
            world.indexed(person.user)
        with unfiltering(True):
            assert search(bob, "secret recipe", "vector") == ["bob's secret recipe"]
            assert search(ann, "secret recipe", "vector") == ["ann's secret recipe"]

            async def found(self: Vectors, *args: Any) -> Found:
                return Found([(id, 1.0) for id in everybodys(world)], {})

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Vectors, "search", found)
                assert len(search(bob, "secret recipe", "vector")) == 2
    databases.drop(name)


def test_the_suite_names_what_it_finds(world: World, watch: Watch, theirs: Owner) -> None:
    attempt = Attempt(stranger(world), theirs, secrets_of(theirs, watch.of(theirs.person.user)))
    for told in (theirs.canary, theirs.person.email, theirs.marks["tag"], theirs.things["stamp"], *theirs.secrets):
        with pytest.raises(Leak, match="tells"):
            attempt.look("somewhere", f"… {told.upper()} …")

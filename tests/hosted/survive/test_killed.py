"""A replica is killed in the midst of writes: what it acknowledged is there, what it did not is there whole or not at all.
The one beside it goes on."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from jmem.core import merge
from jmem.core.model import Op
from sync.protocol import next_chain
from tests.hosted.identity.conftest import Running
from tests.hosted.survive.conftest import Replica, replica
from tests.hosted.world import Behind, Person, sign_up, until

WRITERS = 4


@pytest.fixture
def two(database_url: str, supabase: Running) -> Iterator[tuple[Replica, Replica]]:
    with replica(database_url, supabase) as one, replica(database_url, supabase) as other:
        yield one, other


def write(person: Person, acknowledged: list[str], sent: list[str], ended: threading.Event) -> None:
    """Batches of three memories each, until the connection breaks."""
    with contextlib.suppress(httpx.HTTPError):
        while not ended.is_set():
            name = uuid.uuid4().hex
            sent.append(name)
            operations = [{"op": "add", "content": f"{name} {n}"} for n in range(3)]
            answer = person.ask("POST", "/api/v1/memories/batch", json={"operations": operations})
            assert answer.status_code == 200, answer.text
            assert [result["status"] for result in answer.json()["results"]] == [201] * 3
            acknowledged.append(name)


def kill_in_a_transaction(one: Replica, owner_url: str) -> None:
    """Once its ops are stored and its actions are not: they have to wait for a lock, and are not committed."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%jmem.actions%'"
    with contextlib.closing(Behind(owner_url)) as lock, contextlib.closing(Behind(owner_url)) as behind:
        lock.execute("BEGIN", "LOCK TABLE jmem.actions IN EXCLUSIVE MODE")
        until(lambda: behind.fetch(waiting), "no write waits for the lock")
        one.kill()
        lock.execute("ROLLBACK")


def test_what_was_acknowledged_is_there_after_a_kill(
    two: tuple[Replica, Replica], supabase: Running, owner_url: str
) -> None:
    one, other = two
    acknowledged: list[str] = []
    sent: list[str] = []
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=one.url, timeout=10)) for _ in range(WRITERS)]
        me = sign_up(clients[0], supabase)
        writers = [
            threading.Thread(
                target=write,
                args=(Person(http, me.email, me.user, me.token, me.refresh), acknowledged, sent, ended),
                daemon=True,
            )
            for http in clients
        ]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + 20
        while len(acknowledged) < 30 and time.monotonic() < deadline:
            time.sleep(0.005)
        kill_in_a_transaction(one, owner_url)
        ended.set()
        for writer in writers:
            writer.join(10)
        survivor = stack.enter_context(httpx.Client(base_url=other.url, timeout=10))
        me.http = survivor
        assert len(acknowledged) >= 30
        me.add("the other one goes on")  # also behind the dead one's lock
        check(me, acknowledged, sent)


def check(me: Person, acknowledged: list[str], sent: list[str]) -> None:
    """The feed is whole, the rows are what it adds up to, and every batch is there with all of its memories or none."""
    ops: list[Op] = []
    cursor, chain = None, ""
    while True:
        page = me.must("GET", "/sync/pull", params={} if cursor is None else {"cursor": cursor})
        ops += [Op.parse(json.dumps(op)) for op in page["ops"]]
        cursor = page["cursor"]
        if not page["more"]:
            break
    for op in ops:
        chain = next_chain(chain, op.stamp)
    assert cursor == f"{len(ops)}:{chain}"
    feed: dict[str, int] = {}
    for op in ops:
        feed[str(op.set["content"])[:32]] = feed.get(str(op.set["content"])[:32], 0) + 1
    assert all(feed.get(name) == 3 for name in acknowledged)
    assert all(feed.get(name, 0) in (0, 3) for name in sent)
    listed = me.must("GET", "/memories", params={"limit": 1000})["memories"]
    assert {m["id"]: m["content"] for m in listed} == {op.id: op.set["content"] for op in ops}
    assert merge.heads(ops[:1]) == (ops[0].stamp,)
    actions = me.must("GET", "/log", params={"limit": 1000})["actions"]
    assert sum(action["count"] for action in actions) == len(ops)

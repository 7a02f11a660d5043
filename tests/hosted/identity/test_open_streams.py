"""Streams that are open when whoever opened them is shut out: they tell of nothing that came after."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from hosted.api import events, portable, sync
from hosted.ops import events as bus
from tests.hosted.identity.conftest import Running
from tests.hosted.world import Person, World, served, until

AT_ONCE_S = 5.0
STREAMS = ("/api/v1/events", "/api/v1/sync/events")


@pytest.fixture(scope="module")
def world(database_url: str, owner_url: str, supabase: Running) -> Iterator[World]:
    """The whole backend."""
    with served(database_url, owner_url, supabase, vectors=False) as found:
        yield found


@dataclass
class Heard:
    """What a stream told."""

    lines: list[str] = field(default_factory=list)
    ended: bool = False

    def told(self) -> int:
        return sum(line.startswith("data:") for line in self.lines)


@contextlib.contextmanager
def listening(world: World, path: str, token: str) -> Iterator[Heard]:
    heard = Heard()

    def listen() -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("GET", world.url + path, headers={"authorization": f"Bearer {token}"}, timeout=30) as said,
        ):
            assert said.status_code == 200
            for line in said.iter_lines():
                heard.lines.append(line)
        heard.ended = True

    threading.Thread(target=listen, daemon=True).start()
    until(lambda: heard.told() >= 1, "the stream does not begin")
    yield heard


def revoke(me: Person, key: dict[str, Any]) -> None:
    me.must("DELETE", f"/keys/{key['id']}")


def restrict(me: Person, key: dict[str, Any]) -> None:
    me.must("PATCH", f"/keys/{key['id']}", {"tags": ["work"]})


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("shut_out", [revoke, restrict])
def test_a_key_that_counts_no_more_is_told_nothing_more(
    world: World, path: str, shut_out: Callable[[Person, dict[str, Any]], None]
) -> None:
    me = world.person()
    key, kept = me.must("POST", "/keys", {"name": "one"}), me.must("POST", "/keys", {"name": "two"})
    with listening(world, path, key["key"]) as heard, listening(world, path, kept["key"]) as other:
        me.add("before")
        until(lambda: heard.told() == 2 and other.told() == 2, "the stream tells of nothing")
        shut_out(me, key)
        me.add("after")
        until(lambda: other.told() == 3, "whoever may still listen is not told")
        until(lambda: heard.ended, "the stream does not end")
        assert heard.told() == 2


@pytest.mark.parametrize("path", STREAMS)
def test_a_session_that_signs_out_is_told_nothing_more(world: World, path: str) -> None:
    me = world.person()
    key = me.must("POST", "/keys", {"name": "one"})["key"]
    with listening(world, path, me.token) as heard:
        me.must("POST", "/account/sign-out", {"scope": "global"})
        added = httpx.post(
            f"{world.url}/api/v1/memories", json={"content": "after"}, headers={"authorization": f"Bearer {key}"}
        )
        assert added.status_code == 201
        until(lambda: heard.ended, "the stream does not end")
        assert heard.told() == 1


def another_session(world: World, me: Person) -> str:
    """The access token of another machine of the same person."""
    answer = world.http.post(
        f"{world.supabase.url}/auth/v1/token?grant_type=password", json={"email": me.email, "password": "correct horse"},
        headers={"apikey": world.supabase.settings.publishable_key},
    )  # fmt: skip
    return str(answer.raise_for_status().json()["access_token"])


def end_account(world: World, me: Person, session: str, key: dict[str, Any]) -> None:
    me.must("DELETE", "/account", {"confirm": me.email})


def sign_out(world: World, me: Person, session: str, key: dict[str, Any]) -> None:
    ended = world.http.post(
        "/api/v1/account/sign-out", json={"scope": "local"}, headers={"authorization": f"Bearer {session}"}
    )
    assert ended.is_success


def revoke_key(world: World, me: Person, session: str, key: dict[str, Any]) -> None:
    revoke(me, key)


def shut_out_device(world: World, me: Person, session: str, key: dict[str, Any]) -> None:
    until(lambda: me.must("GET", "/devices")["devices"], "the machine is not known")
    me.must("DELETE", "/devices/laptop-1")


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    ("end", "by_key"),
    [(end_account, False), (end_account, True), (sign_out, False), (revoke_key, True), (shut_out_device, False),
     (shut_out_device, True)],
)  # fmt: skip
def test_a_stream_ends_at_once_with_what_it_was_opened_by(
    world: World, path: str, end: Callable[..., None], by_key: bool
) -> None:
    assert min(events.KEEP_ALIVE_S, sync.KEEP_ALIVE_S) > AT_ONCE_S, "so that no look by itself ends it"
    me = world.person()
    key = me.must("POST", "/keys", {"name": "one"})
    session = another_session(world, me)
    token = key["key"] if by_key else session
    world.http.get(
        "/api/v1/sync/hello", headers={"authorization": f"Bearer {token}", "x-jmem-device": "laptop-1"}
    ).raise_for_status()
    with listening(world, path, token) as heard:
        end(world, me, session, key)
        until(lambda: heard.ended, "the stream does not end", AT_ONCE_S)
        assert heard.told() == 1


@pytest.mark.parametrize("shut_out", [True, False])
def test_a_download_ends_when_its_key_is_revoked(world: World, shut_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    me, go_on = world.person(), threading.Event()
    key = me.must("POST", "/keys", {"name": "one"})

    async def slow(lines: Any) -> AsyncIterator[bytes]:
        yield b"one"
        while not go_on.is_set():
            await asyncio.sleep(0.02)
        yield b"two"

    monkeypatch.setattr(portable, "_pieces", slow)
    monkeypatch.setattr(portable, "ASK_AGAIN_S", 0.0)
    got: list[bytes] = []
    with httpx.stream(
        "GET", f"{world.url}/api/v1/export", headers={"authorization": f"Bearer {key['key']}"}, timeout=30
    ) as said:
        pieces = said.iter_raw()
        got.append(next(pieces))
        if shut_out:
            revoke(me, key)
        go_on.set()
        with pytest.raises(httpx.RemoteProtocolError) if shut_out else contextlib.nullcontext():
            got += pieces
    assert b"".join(got) == (b"one" if shut_out else b"onetwo")


@pytest.mark.parametrize("path", STREAMS)
def test_an_account_has_so_many_streams_and_a_replica_too(
    database_url: str, owner_url: str, supabase: Running, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "MAX_LISTENERS", 2)
    monkeypatch.setattr(bus, "MAX_LISTENERS_HERE", 3)
    with served(database_url, owner_url, supabase, vectors=False) as world:
        me, other = world.person(), world.person()
        with listening(world, STREAMS[0], me.token), listening(world, STREAMS[1], me.token):
            refused = me.ask("GET", path, timeout=5)
            assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (429, "rate_limited", 2)
            assert int(refused.headers["retry-after"]) > 0
            with listening(world, path, other.token):
                assert world.person().ask("GET", path, timeout=5).json()["limit"] == 3


def test_the_streams_of_an_account_take_one_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    me = world.person()
    now, most = 0, 0
    changes = events._changes

    async def slow(call: Any, seq: int) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return await changes(call, seq)

    monkeypatch.setattr(events, "_changes", slow)
    with contextlib.ExitStack() as stack:
        heard = [stack.enter_context(listening(world, STREAMS[0], me.token)) for _ in range(8)]
        me.add("one")
        until(lambda: all(one.told() == 2 for one in heard), "not everybody is told")
    assert most == 1


def test_what_is_read_at_once_for_a_stream_is_bounded_in_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAGE_BYTES", 100_000)
    me = world.person()
    for n in range(7):
        me.add(f"{n} " + "long " * 8_000)
    read: list[int] = []
    changes = events._changes

    async def counted(call: Any, seq: int) -> Any:
        found, more = await changes(call, seq)
        read.append(len(found))
        return found, more

    monkeypatch.setattr(events, "_changes", counted)
    with listening(world, f"{STREAMS[0]}?since=0", me.token) as heard:
        until(lambda: heard.told() == 8, "not everything is told")
    assert read[:3] == [3, 3, 1]

"""What goes into one push: less where it was too much, nothing that may not leave any more, and no op stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from jmem.core.drafts import Draft
from sync.batches import Batches
from sync.protocol import Limits
from sync.remote import Offline, Pulled, Rejected
from tests.sync.conftest import ME, Device, Devices

Meets = Callable[[bytes], httpx.Response | None]


class Way(httpx.BaseTransport):
    """A real transport; what meets a push may answer it in the account's place."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.meets: Meets = lambda body: None
        self.pushed: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/push"):
            body = request.read()
            self.pushed.append(body)
            answer = self.meets(body)
            if answer is not None:
                answer.request = request
                return answer
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@contextmanager
def _device(devices: Devices) -> Iterator[tuple[Device, Way]]:
    way = Way()
    yield devices.make(transport=way), way


def _fill(device: Device, count: int, what: str = "fact") -> list[str]:
    drafts = [Draft(f"{what} {number} " + "x" * 400) for number in range(count)]
    return [added.memory.id for added in device.user.service.add_many(drafts, ME)]


def _status(status: int, **more: str) -> httpx.Response:
    return httpx.Response(status, json=more)


def test_a_batch_grows_while_it_goes_quickly_and_is_halved_where_it_is_too_much():
    batches = Batches()
    text = {str(n): "x" * 99 for n in range(100)}
    assert batches.bytes == 256 * 1024
    batches.too_much(text)
    assert (batches.ops, batches.bytes) == (50, 5000)
    batches.went({"1": "x" * 2499, "2": "x" * 2499}, 20.0)
    assert (batches.ops, batches.bytes) == (50, 5000), "it took long enough"
    batches.went(text, 1.0)
    assert (batches.ops, batches.bytes) == (200, 20000)
    batches.too_big(text)
    batches.went(text, 1.0)
    assert (batches.ops, batches.bytes) == (50, 5000), "what refuses a size goes on doing so"
    batches.learn(Limits(push_ops=300))
    batches.went({str(n): "x" * 999 for n in range(400)}, 1.0)
    assert (batches.ops, batches.bytes) == (300, 800_000)


def test_a_line_through_which_only_little_goes_in_time(devices: Devices):
    with _device(devices) as (a, way):
        _fill(a, 300)
        way.meets = lambda body: _status(408, code="timeout") if len(body) > 20_000 else None
        a.exchange()
        assert a.counts()["seen"] == 300
        assert len(way.pushed) < 60


def test_a_first_push_is_small_enough_for_a_slow_line(devices: Devices):
    with _device(devices) as (a, way):
        a.user.service.add_many([Draft(f"{n} " + "x" * 10_000) for n in range(100)], ME)
        a.exchange()
        assert max(map(len, way.pushed[:1])) <= 257 * 1024
        assert a.counts()["seen"] == 100


@pytest.mark.parametrize("status", [400, 422, 500])
def test_an_op_that_the_account_stumbles_over_stops_no_other(devices: Devices, status: int):
    with _device(devices) as (a, way):
        _fill(a, 60)
        a.add("poison")
        _fill(a, 60, "later")
        way.meets = lambda body: _status(status, code="stumbled") if b"poison" in body else None
        progress = a.exchange()
        assert a.counts()["seen"] == 120
        assert len(progress.stuck) == 1
        tried = len(way.pushed)
        a.exchange()
        assert len(way.pushed) == tried, "it is not offered again and again"
        way.meets = lambda body: None
        a.engine.exchange(anew=True)
        assert a.counts()["seen"] == 121


@pytest.mark.parametrize("status", [400, 500, 503])
def test_an_account_that_fails_at_everything_is_tried_again_later(devices: Devices, status: int):
    with _device(devices) as (a, way):
        _fill(a, 60)
        way.meets = lambda body: _status(status, code="broken")
        for _ in range(2):
            with pytest.raises((Offline, Exception), match="the account answered"):
                a.exchange()
        assert len(way.pushed) < 30
        way.meets = lambda body: None
        assert a.exchange().stuck == {}
        assert a.counts()["seen"] == 60


def test_what_lies_on_the_way_may_stumble_over_an_op_too(devices: Devices):
    with _device(devices) as (a, way):
        a.add("poison")
        _fill(a, 60)
        way.meets = lambda body: httpx.Response(403, text="<html>blocked</html>") if b"poison" in body else None
        assert list(a.exchange().stuck.values()) == ["sync_refused"]
        assert a.counts()["seen"] == 60


def test_who_may_not_push_at_all_is_not_asked_op_by_op(devices: Devices):
    with _device(devices) as (a, way):
        _fill(a, 60)
        way.meets = lambda body: _status(403, code="missing_scope")
        with pytest.raises(Rejected):
            a.exchange()
        assert len(way.pushed) == 1


def test_an_op_that_fails_alone_ends_only_the_first_exchanges(devices: Devices):
    with _device(devices) as (a, way):
        a.add("poison")
        way.meets = lambda body: _status(500)
        for _ in range(4):
            with pytest.raises(Offline):
                a.exchange()
        assert len(a.exchange().stuck) == 1


@pytest.mark.parametrize("status", [401, 408, 413])
def test_what_became_private_meanwhile_does_not_go_when_a_batch_is_sent_again(devices: Devices, status: int):
    with _device(devices) as (a, way):
        _fill(a, 3)
        gone = a.add("the code is marigold")
        kept = a.add("my salary is saffron")

        def refused(body: bytes) -> httpx.Response:
            a.user.service.purge(gone, ME)
            a.user.service.edit(kept, {"privacy": "local"}, ME)
            way.meets = lambda body: None
            return _status(status, code={401: "token_expired", 408: "timeout", 413: "batch_too_large"}[status])

        way.meets = refused
        a.exchange()
        first, again = way.pushed[0], b"".join(way.pushed[1:])
        assert b"marigold" in first
        assert b"saffron" in first
        assert b"marigold" not in again
        assert b"saffron" not in again
        assert b"fact 2" in again


def test_a_machine_that_writes_all_the_time_reads_too(devices: Devices):
    with _device(devices) as (a, way):
        b = devices.make()

        def write(body: bytes) -> None:
            if len(way.pushed) < 40:
                a.add(f"written meanwhile {len(way.pushed)}")

        way.meets = write
        a.add("the first")
        b.add("of the other")
        b.exchange()
        a.exchange()
        assert len(way.pushed) < 10, "an exchange ends"
        assert "of the other" in a.texts().values()


def test_a_pause_ends_a_first_read_between_two_pages(devices: Devices):
    class Paused(Exception):
        pass

    a, b = devices.make(), devices.make()
    for start in range(0, 2000, 1000):
        a.user.service.add_many([Draft(f"fact {n}") for n in range(start, start + 1000)], ME)
    a.exchange()
    asked = 0

    def go_on() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Paused

    b.engine._go_on = go_on
    with pytest.raises(Paused):
        b.exchange()
    assert b.counts()["seen"] == 1000


def test_no_page_that_is_read_ahead_keeps_a_process_from_ending(devices: Devices, monkeypatch: pytest.MonkeyPatch):
    a, b = devices.make(), devices.make()
    a.user.service.add_many([Draft(f"fact {n}") for n in range(1000)], ME)
    a.exchange()
    pull, by = b.remote.pull, list[threading.Thread]()

    def run(cursor: str | None) -> Pulled:
        by.append(threading.current_thread())
        return pull(cursor)

    monkeypatch.setattr(b.remote, "pull", run)
    b.exchange()
    beside = [thread for thread in by if thread is not threading.current_thread()]
    assert beside
    assert all(thread.daemon for thread in beside)

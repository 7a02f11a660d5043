"""Programs of two versions in one account: what the older one does not know stops nothing else, and is lost nowhere."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import hosted.ops.apply
import hosted.ops.feed
import jmem.core.foreign
import sync.remote
from jmem.core import foreign
from jmem.core.model import Op, new_id, new_nonce
from sync.remote import Remote
from tests.sync.conftest import ME, Device, Devices

Patch = pytest.MonkeyPatch


def server_knows_v2(monkeypatch: Patch) -> None:
    """The account's program is a newer one: a second kind of op, which says what the first one does."""
    monkeypatch.setattr(hosted.ops.feed, "VERSION", 2)
    monkeypatch.setattr(hosted.ops.apply, "check_shape", lambda op: None)


def devices_know_v2(monkeypatch: Patch) -> None:
    """So is the program of the machines."""
    monkeypatch.setattr(sync.remote, "VERSION", 2)
    monkeypatch.setattr(jmem.core.foreign, "check_shape", lambda op: None)


def newer_op(device: Device, content: str) -> Op:
    """An op of the second kind, stamped by the device."""
    stamp = device.user.store.write(lambda tx: tx.clock.tick())
    fields = {"content": content, "client": "cli", "privacy": "synced", "created_at": "2026-11-22T20:13:05.123Z"}
    return Op(stamp, new_id(), fields, (), "cli", new_nonce(), v=2, extra={"mood": "glad"}).sealed()


def put(device: Device, op: Op) -> None:
    """As if the device's own program had written it."""
    assert not foreign.apply_ops(device.user.store, [op], "cli", "add").rejected


def payloads(device: Device, id: str) -> list[str]:
    with device.user.store.reader() as conn:
        return [text for (text,) in conn.execute("SELECT payload FROM ops WHERE memory_id = ? ORDER BY stamp", (id,))]


def theirs(device: Device, id: str) -> list[str]:
    """What the account keeps of a memory."""
    return [op.text() for op in device.remote.logs_of([id])[id]]


def test_an_older_machine_goes_on_writing_behind_what_it_cannot_read(devices: Devices, monkeypatch: Patch):
    old, new = devices.make("old"), devices.make("new")
    known = old.add("known to both")
    devices.settle()
    server_knows_v2(monkeypatch)
    op = newer_op(new, "in the second form")
    assert new.remote.push({op.stamp: op.text()}).acked == [op.stamp]
    mine = old.add("written while it can't read on")
    done = old.exchange()
    assert (done.sent, done.waiting) == (1, 1), "it goes, and waits to be seen"
    assert done.newer is not None
    assert (done.newer.code, "install.sh" in str(done.newer.fix)) == ("upgrade_required", True)
    assert theirs(old, mine) == payloads(old, mine)
    assert set(old.texts()) == {known, mine}
    again = old.exchange()
    assert (again.sent, again.newer is not None) == (0, True), "what the account has is not sent again and again"
    later = old.add("and later still")
    assert old.exchange().sent == 1

    devices_know_v2(monkeypatch)  # the machine gets the newer program
    after = Devices(devices.url, devices.folder)
    after.account = devices.account
    old.user.close()
    old.remote.close()
    upgraded = after.make("old")
    try:
        done = upgraded.exchange()
        assert (done.newer, done.waiting, upgraded.counts()["offered"]) == (None, 0, 0)
        assert set(upgraded.texts()) == {known, mine, later, op.id}
        assert payloads(upgraded, op.id) == [op.text()] == theirs(upgraded, op.id)
    finally:
        devices.made.remove(old)
        after.close()


def test_an_older_account_gets_what_it_knows_and_the_rest_later(devices: Devices, monkeypatch: Patch):
    a, b = devices.make(), devices.make()
    devices_know_v2(monkeypatch)
    before = a.add("before")
    op = newer_op(a, "in the second form")
    put(a, op)
    after = a.add("after")
    done = a.exchange()
    assert (done.stuck, done.waiting) == ({op.stamp: "upgrade_required"}, 1)
    b.exchange()
    assert set(b.texts()) == {before, after}
    assert a.exchange().sent == 0
    server_knows_v2(monkeypatch)
    assert a.engine.exchange(anew=True).stuck == {}
    b.exchange()
    assert set(b.texts()) == {before, after, op.id}
    assert payloads(b, op.id) == [op.text()]


def test_fields_that_nobody_knows_yet_travel_untouched(devices: Devices):
    a, b = devices.make(), devices.make()
    made = newer_op(a, "with more to it")
    fields = {**made.set, "colour": {"hue": 1e16, "née": [None, 0.5]}}
    op = Op(made.stamp, made.id, fields, (), "cli", new_nonce(), extra={"mood": {"is": "glad"}}).sealed()
    put(a, op)
    devices.settle()
    assert payloads(a, op.id) == payloads(b, op.id) == theirs(a, op.id) == [op.text()]
    b.user.service.edit(op.id, {"content": "edited by a program that does not know them"}, ME)
    devices.settle()
    assert payloads(a, op.id) == payloads(b, op.id) == theirs(b, op.id)
    for device in (a, b):
        with device.user.store.reader() as conn:
            ((extra,),) = conn.execute("SELECT extra FROM memories WHERE id = ?", (op.id,)).fetchall()
        assert json.loads(extra) == {"colour": {"hue": 1e16, "née": [None, 0.5]}}


class Talkative(httpx.BaseTransport):
    """A newer account: every answer says more than it is asked for."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        said: dict[str, Any] = json.loads(answer.read())
        said["later"] = {"any": ["thing"]}
        if "limits" in said:
            said["limits"]["later"] = 1
        return httpx.Response(answer.status_code, json=said, request=request)

    def close(self) -> None:
        self._inner.close()


def test_answers_that_say_more_are_read_as_they_are_known(devices: Devices):
    a, b = devices.make(transport=Talkative()), devices.make()
    mine, other = a.add("from here"), b.add("from there")
    b.exchange()
    assert a.exchange().waiting == 0
    b.exchange()
    assert set(a.texts()) == set(b.texts()) == {mine, other}
    assert a.remote.tree().memories == 2


def test_an_account_that_wants_a_newer_program_keeps_everything_here(devices: Devices):
    class Wants(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(426, json={"code": "upgrade_required", "title": "too old"}, request=request)

    a = devices.make(transport=Wants())
    a.add("kept")
    with pytest.raises(sync.remote.TooNew):
        a.exchange()
    remote = Remote(devices.url, a.user.store.store_id, lambda refused: str(devices.account))
    a.engine._remote = remote
    assert a.exchange().waiting == 0
    remote.close()

"""The receipt of a purge names the account and the other machines, and says how far it has come."""

from __future__ import annotations

import logging
from pathlib import Path

from daemon.account import FILE
from daemon.syncer import Syncer
from jmem.core import outbox
from jmem.core.outbox import Way
from tests.sync.conftest import ME, Device, Devices


def way(device: Device, id: str) -> Way:
    with device.user.store.reader() as conn:
        return outbox.purge_way(conn, [id])


def places(device: Device, id: str) -> dict[str, str]:
    """What the daemon's part of the receipt says, by place."""
    user = device.user
    syncer = Syncer("u", user.folder, user.store, user.service, "", "", logging.getLogger("test"))
    assert not Path(user.folder / FILE).exists()
    return {line.place: line.result for line in syncer.forgotten([id])}


def test_without_an_account_nothing_is_said_of_one(devices: Devices):
    a = devices.make()
    id = a.add("never shared")
    a.user.service.purge(id, ME)
    assert places(a, id) == {}


def test_it_waits_until_the_purge_is_in_the_feed(devices: Devices):
    a = devices.make()
    id, private = a.add("shared"), a.add("mine", privacy="local")
    outbox.bind(a.user.store, "account")
    a.exchange()
    a.user.service.purge([id, private], ME)
    assert (way(a, id), way(a, private)) == (Way.WAITS, Way.NEVER_LEFT)
    assert places(a, id) == {
        "account": "waits for the next exchange; jmem login",
        "other machines": "erased at the exchange of each after that",
    }
    assert places(a, private) == {"account": "nothing there"}
    a.exchange()
    assert way(a, id) is Way.REACHED
    assert places(a, id) == {"account": "erased", "other machines": "erased at the next exchange of each"}


def test_what_was_forgotten_before_anybody_heard_of_it_was_never_there(devices: Devices):
    a = devices.make()
    id = a.add("said and taken back")
    outbox.bind(a.user.store, "account")
    a.user.service.purge(id, ME)
    a.exchange()
    assert places(a, id) == {"account": "nothing there"}


def test_a_purge_from_elsewhere_has_reached_the_account(devices: Devices):
    a, b = devices.make(), devices.make()
    id = a.add("shared")
    devices.settle()
    a.user.service.purge(id, ME)
    devices.settle()
    assert way(b, id) is Way.REACHED


def test_of_several_the_one_that_waits_is_told(devices: Devices):
    a = devices.make()
    first, second, fresh = a.add("one"), a.add("two"), a.add("three")
    outbox.bind(a.user.store, "account")
    a.exchange()
    a.user.service.purge(first, ME)
    a.exchange()
    a.user.service.purge(second, ME)
    with a.user.store.reader() as conn:
        assert outbox.purge_way(conn, [first, second]) is Way.WAITS
        assert outbox.purge_way(conn, [first]) is Way.REACHED
    assert fresh in a.texts()

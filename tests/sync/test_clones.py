"""Two copies of one store that live at once: the account comes to know them as two machines, and nothing is lost."""

from __future__ import annotations

import shutil

from jmem.core import outbox
from tests.sync.conftest import Device, Devices


def cloned(devices: Devices, device: Device, name: str) -> Device:
    """A copy of a device, as it is on disk; both live from here on."""
    device.user.store.backup(devices.folder / "copy.db")
    (devices.folder / name).mkdir()
    shutil.move(devices.folder / "copy.db", devices.folder / name / "memories.db")
    return devices.make(name)


def test_a_copy_that_lives_too_goes_on_under_an_id_of_its_own(devices: Devices):
    a = devices.make("a")
    first = a.add("before the copy")
    a.exchange()
    b = cloned(devices, a, "b")
    assert a.remote.device == b.remote.device == a.user.store.store_id
    b.exchange()
    texts = {first: "before the copy", a.add("of the first"): "of the first", b.add("of the second"): "of the second"}
    devices.settle()
    assert outbox.device(a.user.store) == a.remote.device == a.user.store.store_id
    assert outbox.device(b.user.store) == b.remote.device != a.remote.device
    other = devices.make("other")
    other.exchange()
    assert a.texts() == b.texts() == other.texts() == texts
    assert a.log() == b.log() == other.log()
    assert a.counts()["offered"] == b.counts()["offered"] == 0
    known = b.remote.device
    b.add("later")
    devices.settle()
    assert (a.remote.device, b.remote.device) == (a.user.store.store_id, known), "they part once"


def test_two_that_write_at_once_do_not_both_leave_their_id(devices: Devices):
    a = devices.make("a")
    a.exchange()
    b = cloned(devices, a, "b")
    b.exchange()
    for device in (a, b):
        device.add("written at once")
        device.remote.push(outbox.take(device.user.store, 0, 10, 100_000).texts)
    for device in (a, b):
        device.exchange()
    assert a.remote.device == a.user.store.store_id != b.remote.device
    devices.settle()
    assert len(a.texts()) == 2
    assert a.log() == b.log()


def test_a_store_that_was_put_back_is_the_machine_it_was(devices: Devices):
    a = devices.make("a")
    a.add("before the copy")
    a.exchange()
    b = cloned(devices, a, "b")
    a.add("lost here, and in the account")
    a.exchange()
    devices.made.remove(a)
    a.user.close()
    a.remote.close()
    b.exchange()
    assert b.remote.device == b.user.store.store_id
    assert len(b.texts()) == 2

"""Where the refresh token lies, with a keyring that works, one that is absent, one that fails and one that hangs."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as Absent
from keyring.errors import InitError, PasswordDeleteError

from daemon import account
from jmem.core.errors import StorageFailed
from sync import keeper as keepers
from sync.keeper import FileKeeper, KeyringKeeper, keeper
from sync.remote import Offline

NAME = "user"


class Ring(KeyringBackend):
    """A keyring in memory; `mood` is what is wrong with it."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, mood: str = "") -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.mood = mood
        self.go_on = threading.Event()

    def _moody(self) -> None:
        if self.mood == "hangs":
            self.go_on.wait(20)
        if self.mood == "locked":
            raise InitError("the collection is locked")
        if self.mood == "odd":
            raise ValueError("a message of the bus")

    def get_password(self, service: str, username: str) -> str | None:
        self._moody()
        return None if self.mood == "forgets" else self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._moody()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._moody()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("not found")


class Real(Ring):
    """One that counts as the system's own."""


Real.__module__ = "keyring.backends.SecretService"


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Ring]]:
    """Makes a keyring the system's."""
    monkeypatch.setattr(keepers, "PATIENCE_S", 0.2)
    made: dict[str, Ring] = {}

    def get() -> KeyringBackend:
        return made.get("ring") or Absent()

    monkeypatch.setattr(keyring, "get_keyring", get)
    yield made
    for ring in made.values():
        ring.go_on.set()


def test_a_real_keyring_is_taken_and_nothing_lies_in_a_file(use: dict[str, Ring], tmp_path: Path):
    ring = use["ring"] = Real()
    kept = keeper(tmp_path, NAME)
    assert isinstance(kept, KeyringKeeper)
    kept.save("one")
    kept.save("two")
    assert keeper(tmp_path, NAME, "keyring").load() == "two"
    assert ring.kept == {("jmem", NAME): "two"}, "nothing is left of the probe"
    assert list(tmp_path.iterdir()) == []
    kept.forget()
    kept.forget()
    assert kept.load() is None
    assert "keyring" in kept.where


@pytest.mark.parametrize("mood", ["locked", "odd", "forgets", "hangs"])
def test_a_keyring_that_does_not_work_is_not_trusted(use: dict[str, Ring], tmp_path: Path, mood: str):
    use["ring"] = Real(mood)
    began = time.monotonic()
    kept = keeper(tmp_path, NAME)
    assert isinstance(kept, FileKeeper)
    assert time.monotonic() - began < 5
    assert str(tmp_path) in kept.where


def test_without_a_keyring_it_is_a_file(use: dict[str, Ring], tmp_path: Path):
    assert isinstance(keeper(tmp_path, NAME), FileKeeper)


def test_a_keyring_that_may_ask_its_person_is_not_used(use: dict[str, Ring], tmp_path: Path):
    ring = use["ring"] = Ring()
    assert isinstance(keeper(tmp_path, NAME), FileKeeper)
    assert ring.kept == {}


def test_of_several_the_real_one_is_taken(use: dict[str, Ring], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = Real()
    several = [Ring(), Real("locked"), real]
    monkeypatch.setattr(ChainerBackend, "backends", several)
    use["ring"] = ChainerBackend()  # type: ignore[assignment]
    kept = keeper(tmp_path, NAME)
    kept.save("token")
    assert real.kept == {("jmem", NAME): "token"}
    use.clear()


@pytest.mark.parametrize("mood", ["locked", "odd", "hangs"])
def test_a_keyring_that_stops_working_signs_nobody_out(use: dict[str, Ring], tmp_path: Path, mood: str):
    ring = use["ring"] = Real()
    kept = keeper(tmp_path, NAME)
    kept.save("token")
    ring.mood = mood
    with pytest.raises(Offline, match="jmem login"):
        keeper(tmp_path, NAME, "keyring")
    for work in (kept.load, lambda: kept.save("next"), kept.forget):
        with pytest.raises(Offline):
            work()
    ring.mood = ""
    if mood != "hangs":  # what hung comes to its end then, in no order
        assert keeper(tmp_path, NAME, "keyring").load() == "token"


def test_a_sign_in_that_chose_the_file_stays_there(use: dict[str, Ring], tmp_path: Path):
    FileKeeper(tmp_path / "session").save("token")
    use["ring"] = Real()
    assert keeper(tmp_path, NAME, "file").load() == "token"


def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path):
    kept = FileKeeper(tmp_path / "session")
    assert kept.load() is None
    before = os.umask(0)
    try:
        kept.save("one")
        kept.save("two")
    finally:
        os.umask(before)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert kept.load() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["session"]
    kept.forget()
    kept.forget()
    assert kept.load() is None


def test_a_file_that_can_not_be_read_is_no_sign_in_that_has_ended(tmp_path: Path):
    kept = FileKeeper(tmp_path / "session")
    kept.path.write_bytes(b"\xff")
    with pytest.raises(StorageFailed) as caught:
        kept.load()
    assert (caught.value.code, caught.value.fix, str(kept.path) in caught.value.message) == (
        "damaged",
        "jmem login",
        True,
    )
    kept.forget()
    kept.path.mkdir()
    for work in (kept.load, kept.forget):
        with pytest.raises(StorageFailed) as caught:
            work()
        assert str(kept.path) in caught.value.message


def test_a_half_written_file_is_not_read(tmp_path: Path):
    kept = FileKeeper(tmp_path / "session")
    kept.save("whole")
    (tmp_path / "session.part").write_text("ha")
    assert kept.load() == "whole"
    kept.save("next")
    assert kept.load() == "next"


def test_a_full_disk_is_told_and_keeps_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = FileKeeper(tmp_path / "session")
    kept.save("before")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFailed) as caught:
            kept.save("next")
    assert (caught.value.code, str(kept.path) in caught.value.message) == ("disk_full", True)
    assert kept.load() == "before"
    kept.save("next")
    assert kept.load() == "next"


def test_a_sign_out_forgets_a_file_also_where_nothing_tells_where_the_sign_in_lay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    FileKeeper(tmp_path / keepers.FILE).save("a token")
    (tmp_path / account.FILE).write_text("{damaged")
    ring = SimpleNamespace(forget=lambda: None)
    monkeypatch.setattr(keepers, "keeper", lambda folder, name, kind: ring)  # a keyring that is there now
    account.forget(tmp_path, "somebody")
    assert list(tmp_path.iterdir()) == []

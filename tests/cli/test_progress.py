from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jmem.cli import progress
from jmem.cli.commands import sync
from jmem.core.errors import Unreachable


class Screen(SimpleNamespace):
    """An Output's narration, remembered."""

    def __init__(self, tty: bool, verbose: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr_tty=tty, verbose=verbose, quiet=quiet, said=[])

    def write_error(self, text: str) -> None:
        self.said.append(text)

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_nothing_is_said_in_the_first_second(clock: Any) -> None:
    screen = Screen(tty=True)
    with progress.Progress(screen, "added", 100) as bar:
        clock.seconds += 0.9
        bar.update(50)
    assert screen.said == []


def test_counts_share_and_time_left_on_a_terminal(clock: Any) -> None:
    screen = Screen(tty=True)
    with progress.Progress(screen, "indexed", 10_000) as bar:
        clock.seconds += 10
        bar.update(2_500)
        bar.update(2_600)  # too soon after the last one
    assert screen.said == ["\r\x1b[Kindexed 2,500 of 10,000 · 25% · 30 s left", "\r\x1b[K"]


def test_bytes_stand_for_items_of_unknown_number(clock: Any) -> None:
    screen = Screen(tty=True)
    bar = progress.Progress(screen, "imported", 1_000_000)
    clock.seconds += 60
    bar.update(1234, 500_000)
    assert screen.said == ["\r\x1b[Kimported 1,234 · 50% · 1 min 0 s left"]
    unknown = progress.Progress(screen, "exported")
    clock.seconds += 2
    unknown.update(7)
    assert screen.said[-1] == "\r\x1b[Kexported 7"


def test_lines_with_verbose_and_silence_otherwise(clock: Any) -> None:
    for screen, count in (
        (Screen(tty=False), 0),
        (Screen(tty=False, verbose=True), 2),
        (Screen(tty=True, quiet=True), 0),
    ):
        bar = progress.Progress(screen, "added", 100)
        for done in range(1, 9):
            clock.seconds += 1
            bar.update(done)
        assert len(screen.said) == count, screen


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")])
def test_duration(seconds: float, shown: str) -> None:
    assert progress.duration(seconds) == shown


def test_an_exchange_is_waited_for_however_long_it_takes() -> None:
    """The daemon lets nobody wait for longer than a minute; the command asks on."""
    asked: list[str] = []

    def request(method: str, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        asked.append(method)
        if asked.count("POST") < 3:
            raise Unreachable("the exchange goes on", code="still_syncing")
        return {"state": "on"}

    screen = Screen(tty=False)
    screen.json, screen.documents = True, []
    screen.document = screen.documents.append
    assert sync.now(SimpleNamespace(out=screen, daemon=SimpleNamespace(request=request))) == 0
    assert (asked.count("POST"), screen.documents) == (3, [{"state": "on"}])

    def ended(*_: Any, **__: Any) -> dict[str, Any]:
        raise Unreachable("no daemon answers")

    with pytest.raises(Unreachable):
        sync.now(SimpleNamespace(out=screen, daemon=SimpleNamespace(request=ended)))

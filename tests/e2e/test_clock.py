"""The machine's clock is set back a day while the daemon runs: later writes still win, and nothing is lost.

A preloaded library moves the clock of the daemon's process; the product knows nothing of it.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.home import Home, temporary_home

DAY = 86_400


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("shim") / "shift.so"
    source = Path(__file__).with_name("shift.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", target, source, "-ldl"], check=True)
    return target


class Clock:
    def __init__(self, home: Home, file: Path) -> None:
        self.home, self.file = home, file

    def set(self, seconds: int) -> None:
        """Shift the clock of the running daemon and of every command by so many seconds."""
        self.file.write_text(str(seconds))


@pytest.fixture
def clock(shim: Path, tmp_path: Path) -> Iterator[Clock]:
    file = tmp_path / "shift"
    file.write_text("0")
    with temporary_home(LD_PRELOAD=str(shim), CLOCK_SHIFT=str(file)) as home:
        yield Clock(home, file)


def test_the_shim_moves_the_clock(clock: Clock) -> None:
    before = clock.home.json("add", "Told before")["created_at"]
    clock.set(-DAY)
    after = clock.home.json("add", "Told after")["created_at"]
    assert after < before


def test_writes_after_the_clock_went_back_a_day_win(clock: Clock) -> None:
    home = clock.home
    first = home.json("add", "The meeting is at nine")["id"]
    doomed = home.json("add", "The printer is on the second floor")["id"]
    versions = [home.json("show", first)["version"]]
    clock.set(-DAY)
    home.jmem("edit", first, "The meeting is at ten")
    home.jmem("rm", doomed, "--yes")
    late = home.json("add", "Lunch is at noon")["id"]
    versions.append(home.json("show", first)["version"])

    home.kill()
    clock.set(-2 * DAY)
    home.jmem("edit", first, "The meeting is at eleven")
    versions.append(home.json("show", first)["version"])
    assert versions == sorted(versions)
    with contextlib.closing(home.api()) as api:
        there = {m["id"]: m["content"] for m in api.every()}
        assert there == {first: "The meeting is at eleven", late: "Lunch is at noon"}
        revisions = api.must("GET", f"/memories/{first}/history")["revisions"]
        assert [r["content"] for r in revisions if r["content"]][-1] == "The meeting is at eleven"
        assert api.search("when is the meeting")["results"][0]["content"] == "The meeting is at eleven"
        home.indexed()
        assert api.search("when do we eat", mode="vector")["results"][0]["id"] == late

    home.jmem("undo")
    assert home.json("show", first)["content"] == "The meeting is at ten"
    clock.set(0)
    home.jmem("edit", first, "The meeting is at twelve")
    assert home.json("show", first)["content"] == "The meeting is at twelve"
    ids = [home.json("add", f"Sentence {n} after the clock was mended")["id"] for n in range(3)]
    assert ids == sorted(ids)

"""A daemon that nobody asks does nothing at all; one that is idle for long gives back what it can."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from bench.home import Home, wait_for, wait_gone


def _switches(pid: int) -> int:
    """Voluntary context switches of all threads: how often any of them was woken to do something."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            total += int(fields["voluntary_ctxt_switches"])
    return total


def test_no_thread_wakes_up_while_nothing_happens(home: Home) -> None:
    pid = home.start()
    with contextlib.closing(home.api()) as api:
        for n in range(5):
            api.add(f"fact {n}")
        api.search("a fact")
        home.indexed()

    last, since = -1, 0.0

    def quiet() -> bool:
        nonlocal last, since
        time.sleep(0.1)
        if (now := _switches(pid)) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 5.0

    # work that follows the start ends some time; anything that polls would never leave five seconds free
    wait_for(quiet, 60, "five seconds in which no thread wakes up")


def test_the_model_is_released_and_comes_back(home: Home) -> None:
    home.path.mkdir()
    (home.path / "config.toml").write_text("[idle]\nunload = 1\n")
    maps = Path(f"/proc/{home.start()}/maps")
    with contextlib.closing(home.api()) as api:
        api.add("seats on the aisle")
        assert api.search("where do I sit")["mode"] == "hybrid"
        wait_for(lambda: api.must("GET", "/status")["embedder"]["state"] == "not loaded", what="the release")
        wait_for(lambda: "/index/" not in maps.read_text(), what="the release of the index")
        assert api.must("GET", "/index")["points"] == 1
        assert "/index/" not in maps.read_text(), "watching takes the memory again"
        again = api.search("what did I say about sitting")
        assert (again["mode"], "degraded" in again) == ("hybrid", False)


def test_the_daemon_stops_after_an_idle_time(home: Home) -> None:
    home.path.mkdir()
    (home.path / "config.toml").write_text("[idle]\nstop = 1\n")
    pid = home.start()
    wait_gone(pid)
    assert home.json("status")["daemon"] is None
    home.jmem("add", "the next command starts it")

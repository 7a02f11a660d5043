"""How everything is, and tending it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot

from bench.home import Home, temporary_home, wait_for
from jmem.tui.screens.confirm import Choice
from jmem.tui.screens.status import Backups, StatusPlace
from jmem.tui.state import State, amount, facts_text
from jmem.tui.widgets.log import Log, tail
from tests.tui.conftest import Open, texts, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def some() -> Iterator[Home]:
    """Of a test's own: its daemon is stopped and started."""
    with temporary_home() as home:
        home.start()
        with contextlib.closing(home.api()) as api:
            api.add("The first of all")
            api.add("The second of all")
        yield home


async def there(pilot: Pilot[None]) -> StatusPlace:
    await pilot.app.run_action("app.tab('status')")
    await until(pilot, lambda: isinstance(pilot.app.place, StatusPlace) and "daemon" in texts(pilot))
    assert isinstance(pilot.app.screen, StatusPlace)
    return pilot.app.screen


async def asked(pilot: Pilot[None], key: str, answer: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
    await pilot.press(answer)
    await until(pilot, lambda: isinstance(pilot.app.screen, StatusPlace))


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_everything_at_a_glance(some: Home, opened: Open, size: tuple[int, int]):
    async with opened(some, size) as pilot:
        await there(pilot)
        await until(pilot, lambda: "2 memories" in texts(pilot) and "not signed in" in texts(pilot))
        shown = texts(pilot)
        assert f"pid {some.pid}" in shown
        assert f"port {some.state['port']}" in shown
        assert "bundled" in shown
        assert "not signed in" in shown
        assert "started" in shown  # the log


async def test_stop_and_start(some: Home, opened: Open):
    async with opened(some) as pilot:
        await there(pilot)
        await asked(pilot, "s", "n")
        assert some.pid
        await asked(pilot, "s", "y")
        await until(pilot, lambda: "is stopped" in texts(pilot) and not some.pid)
        assert "There is no backup" not in texts(pilot)  # that is not known now
        assert "s starts it" in texts(pilot)
        for _ in range(5):  # looking starts nothing
            await pilot.press("f5")
            await pilot.pause(0.05)
        assert not some.pid
        await pilot.press("s")
        await until(pilot, lambda: "runs since" in texts(pilot))
        assert some.pid


async def test_a_daemon_that_is_killed_is_told_and_restarted(some: Home, opened: Open):
    async with opened(some) as pilot:
        await there(pilot)
        some.kill()
        await until(pilot, lambda: "is stopped" in texts(pilot))
        before = some.start()
        await until(pilot, lambda: f"pid {before}" in texts(pilot))
        await asked(pilot, "r", "n")
        assert some.pid == before
        await asked(pilot, "r", "y")
        await until(pilot, lambda: some.pid not in (None, before) and f"pid {some.pid}" in texts(pilot))


async def test_back_up_and_restore(some: Home, opened: Open):
    async with opened(some, (140, 40)) as pilot:
        place = await there(pilot)
        await until(pilot, lambda: "There is no backup yet" in texts(pilot))
        await pilot.press("b")
        backups = place.query_one(Backups)
        await until(pilot, lambda: len(backups.items) == 1)
        with contextlib.closing(some.api()) as api:
            api.add("Written after the backup")
            await until(pilot, lambda: "3 memories" in texts(pilot))
            backups.focus()
            await asked(pilot, "enter", "escape")
            await asked(pilot, "enter", "y")
            await until(pilot, lambda: len(backups.items) == 2)
            await until(pilot, lambda: pilot.app.facts["memories"] == 2)
            assert len(api.must("GET", "/memories")["memories"]) == 2


async def test_rebuild(some: Home, opened: Open):
    async with opened(some, (140, 40)) as pilot:
        await there(pilot)
        await asked(pilot, "i", "v")
        await until(pilot, lambda: "ready · 2 memories" in texts(pilot))
        await asked(pilot, "i", "n")


async def test_nothing_is_read_while_one_is_elsewhere(some: Home, opened: Open):
    async with opened(some) as pilot:
        place = await there(pilot)
        await until(pilot, lambda: place._next is not None)
        await pilot.app.run_action("app.tab('settings')")
        await pilot.pause()
        assert place._next is None


def test_the_log_without_what_went_well(some: Home):
    log = some.path / "logs" / "daemon.log"
    wait_for(lambda: '"event":"request"' in log.read_text(), what="a request in the log")
    events = [entry.event for entry in tail(str(log))]
    assert "started" in events
    assert "request" not in events
    log.write_text('no json\n{"event":"\\u001b[31m","level":"error","timestamp":"then"}\n[1]\n')
    assert [entry.event for entry in tail(str(log))] == ["no json", "\\x1b[31m", "[1]"]
    assert tail(str(some.path / "nothing.log")) == ()


async def test_the_log_has_the_focus(some: Home, opened: Open):
    async with opened(some) as pilot:
        await there(pilot)
        await pilot.press("l")
        assert isinstance(pilot.app.focused, Log)
        await pilot.press("l")
        assert isinstance(pilot.app.focused, Backups)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24)])
async def test_every_size(some: Home, opened: Open, size: tuple[int, int]):
    async with opened(some, (140, 40)) as pilot:
        await there(pilot)
        await pilot.resize_terminal(*size)
        await pilot.press("down", "l", "up", "l")


SYNC = {
    "state": "waiting", "url": "https://memory.example.com", "email": "me@example.org", "account": "x", "waiting": 12,
    "lag_s": 7200, "held": 3, "local": 4, "seen": 5, "conflicts": 2, "rules": {}, "streaming": False,
    "last_exchange": None, "progress": {"sent": 1, "received": 2_000, "coming": 3_000, "waiting": 4}, "stuck": {"a": "too_large", "b": "too_large"}, "refused": {"c": "bad_op"},
    "error": {"title": "no route", "fix": "nothing to do"}, "next_try_s": 240,
}  # fmt: skip


def test_what_is_told_of_work_trouble_and_sync():
    colours = dict.fromkeys(("secondary", "success", "accent", "warning", "error"), "red")
    status = {
        "version": "1", "user_id": "u", "memories": 5, "review": 1, "warning": "lost",
        "daemon": {"pid": 1, "version": "1", "rss_mb": 80.0, "uptime_s": 90_000, "port": 5, "socket": "/s", "trouble": "port is taken"},
        "embedder": {"name": "openai", "fingerprint": None, "state": "not loaded", "remote": True},
        "sync": SYNC,
    }  # fmt: skip
    index = {"state": "indexing", "indexed": 30, "pending": 70, "bytes": 3_000_000, "error": "no answer"}
    state = State(status, index, {"backups": [], "next": None}, 5_000_000, (), "/home")
    told = facts_text(state, colours, 200).plain
    for part in (
        "port is taken",
        "30 of 100",
        "no answer",
        "remote",
        "lost",
        "none yet",
        "me@example.org",
        "1 wait",
        "waiting 12, the oldest for 2 h · 3 held back by rules · 4 private · not exchanged yet",
        "stuck: 2 changes, the account does not take them: too_large",
        "refused: 1 changes, they can't be kept here: bad_op",
        "conflicts: 2 with texts written apart: jmem conflicts",
        "1 sent and 4 to go, 2,000 received and 3,000 to come",
        "next try: in 4 min",
        "no route",
        "nothing to do",
    ):
        assert part in told
    assert state.busy


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (152 * 1024, "152 KB"), (5e12, "4657 GB")]
)
def test_amounts(size: float, text: str):
    assert amount(size) == text

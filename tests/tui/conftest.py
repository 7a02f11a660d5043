"""The interface without a terminal, before a real daemon."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot

import jmem.cli.text
from bench.home import Api, Home, temporary_home
from jmem import launch
from jmem.client import Client
from jmem.tui.app import JmemApp
from jmem.tui.prefs import Prefs, load

STORE = Path(__file__).with_name("store.jsonl")
NOW = 1_795_608_000.0
"""2026-11-25 12:00 UTC, two days after the memories of STORE were written."""
Open = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


@pytest.fixture(scope="module")
def full() -> Iterator[Home]:
    """A daemon with the memories of STORE, shared by the tests of a module."""
    with temporary_home() as home:
        home.start()
        home.jmem("import", str(STORE), "--from", "jsonl")
        home.indexed()
        yield home


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages and local times are the same in every run."""
    clock = SimpleNamespace(time=lambda: NOW, localtime=time.gmtime, strftime=time.strftime)
    monkeypatch.setattr(jmem.cli.text, "time", clock)


@pytest.fixture(autouse=True)
def reaped() -> Iterator[None]:
    """Daemons that the interface started are asked how they ended, once their home is gone."""
    yield
    for child in launch._children:
        child.poll()


@pytest.fixture
def opened() -> Open:
    """`async with opened(home, size=(80, 24)) as pilot`: the interface of a home, its list already there."""

    @contextlib.asynccontextmanager
    async def open_(
        home: Home, size: tuple[int, int] = (80, 24), *, prefs: Prefs | None = None, plain: bool = False
    ) -> AsyncIterator[Pilot[None]]:  # fmt: skip
        client = Client(str(home.path), client="tui")
        app = JmemApp(client, load(str(home.path)) if prefs is None else prefs, plain=plain)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: app.facts["daemon"] == "live" and "memories" in app.facts)
            await until(
                pilot,
                lambda: len(pilot.app.screen_stack) > 1 or any(word in texts(pilot) for word in ("first", "Nothing")),
            )
            yield pilot

    return open_


def emptied(home: Home) -> Iterator[Api]:
    """A connection to a home without a memory: what an earlier test left is forgotten."""
    with contextlib.closing(home.api()) as made:
        for memory in list(made.every()):
            made.call("DELETE", f"/api/v1/memories/{memory['id']}?purge=true")
        yield made


async def until(pilot: Pilot[None], condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until a condition holds; raises AssertionError with the screen's texts."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain; the screen: {texts(pilot)}"
        await pilot.pause(0.02)


def texts(pilot: Pilot[None]) -> str:
    """The screen as text."""
    return "\n".join(strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips())

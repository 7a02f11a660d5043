"""Pages of lists that are written to while they are read, as both backends make them: a page and the cursor behind it are of
one reading, so that whoever follows cursors misses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.api import common
from daemon.mcp import tools as daemon_tools
from hosted.api import routing
from hosted.mcp.tools import Tools
from jmem.core.mcp import arguments
from jmem.core.model import Memory, new_id
from jmem.core.paging import Page

LARGE = 60_000
OLD = [Memory(new_id(), f"{n:02d} " + "x" * LARGE) for n in range(20)]


class Growing:
    """A list, newest first, that changes with each reading; a cursor is the number of the old memory that comes next."""

    def __init__(self, *before: Sequence[Memory]) -> None:
        self._before = list(before)

    def read(self, limit: int) -> Page:
        newer = self._before.pop(0) if len(self._before) > 1 else self._before[0]
        shown = [*newer, *OLD][:limit]
        return Page(shown, str(limit - len(newer)))

    async def list(self, *_: Any, limit: int, **__: Any) -> Page:
        return self.read(limit)


GREW = ((), [Memory(new_id(), "new " + "z" * LARGE * 2)], [Memory(new_id(), "new " + "z" * LARGE * 2)])
SHRANK = ([Memory(new_id(), f"gone {n}") for n in range(3)], ())


def _dicts(page: Page) -> tuple[list[dict[str, Any]], str | None]:
    return [memory.as_dict() for memory in page.memories], page.next_cursor


def over_daemon(growing: Growing) -> Any:
    return json.loads(common.page("memories", lambda limit: _dicts(growing.read(limit)), 20).body)


def over_hosted(growing: Growing) -> Any:
    async def fetch(limit: int) -> tuple[list[dict[str, Any]], str | None]:
        return _dicts(growing.read(limit))

    return json.loads(bytes(asyncio.run(routing.page("memories", fetch, 20)).body))


def by_daemon_tool(growing: Growing) -> Any:
    def asked(*_: Any, limit: int, **__: Any) -> Page:
        return growing.read(limit)

    caller: Any = SimpleNamespace(user=SimpleNamespace(service=SimpleNamespace(list=asked)), actor=None)
    return daemon_tools.list_(caller, arguments.List(limit=20)).data


def by_hosted_tool(growing: Growing) -> Any:
    caller: Any = SimpleNamespace(memories=growing, actor=None)
    return asyncio.run(Tools("http://x").list(caller, arguments.List(limit=20))).data


@pytest.mark.parametrize("written", [GREW, SHRANK], ids=["grew", "shrank"])
@pytest.mark.parametrize("ask", [over_daemon, over_hosted, by_daemon_tool, by_hosted_tool])
def test_nothing_is_left_out_between_two_pages(ask: Any, written: Sequence[Sequence[Memory]]) -> None:
    told = ask(Growing(*written))
    shown = [int(one["content"][:2]) for one in told["memories"] if one["content"][0].isdigit()]
    assert shown
    assert shown == list(range(int(told["next_cursor"])))

"""What is long to check lets other requests have their turns."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from hosted.api.routing import _parsed
from hosted.memories import batch
from hosted.ops import apply
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce
from jmem.core.wire.asks import BatchAsk

KEY = "-----BEGIN RSA PRIVATE KEY-----" + "A" * 200
OPERATIONS = 200


class Turns:
    """How often others had their turn."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aenter__(self) -> Turns:
        self._task = asyncio.create_task(self._others())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _others(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.taken += 1


async def test_a_batch_that_is_refused_from_end_to_end() -> None:
    unused: Any = None  # nothing of it gets as far as a write
    adds = [{"op": "add", "content": f"{KEY} {n}"} for n in range(OPERATIONS)]
    async with Turns() as turns:
        results = await batch.run(unused, unused, adds, Actor("cli"))
    assert {result.error.code for result in results if result.error} == {"secret_found"}
    assert turns.taken > OPERATIONS / 2


async def test_a_few_ops_that_are_long_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**6))
    monkeypatch.setattr(apply.time, "monotonic", lambda: next(now) * apply._TURN_S)
    clock = Clock()
    ops = [Op(clock.tick(), new_id(), {"content": "x"}, (), "", new_nonce()).sealed() for _ in range(20)]
    async with Turns() as turns:
        checked = await apply.check_all(ops)
    assert all(isinstance(one, apply.Checked) for one in checked)
    assert turns.taken >= 9


def test_no_garbage_is_looked_for_while_a_body_is_read() -> None:
    looked: list[str] = []

    def looking(phase: str, info: dict[str, int]) -> None:
        looked.append(phase)

    raw = b'{"operations":[{"op":"add","x":[' + b",".join([b"[]"] * 100_000) + b"]}]}"
    _parsed(BatchAsk, b'{"operations":[]}')
    gc.collect()
    gc.callbacks.append(looking)
    try:
        asked = _parsed(BatchAsk, raw)
    finally:
        gc.callbacks.remove(looking)
    assert len(asked.operations[0]["x"]) == 100_000
    assert len(looked) <= 2, "at most once, after it was read"
    assert gc.isenabled()

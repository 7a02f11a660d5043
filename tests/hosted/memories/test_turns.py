"""What is long to check lets other requests have their turns."""

from __future__ import annotations

import asyncio
from typing import Any

from hosted.memories import batch
from jmem.core.actor import Actor

KEY = "-----BEGIN RSA PRIVATE KEY-----" + "A" * 200
OPERATIONS = 200


async def test_a_batch_that_is_refused_from_end_to_end() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    unused: Any = None  # nothing of it gets as far as a write
    adds = [{"op": "add", "content": f"{KEY} {n}"} for n in range(OPERATIONS)]
    results = await batch.run(unused, unused, adds, Actor("cli"))
    task.cancel()
    assert {result.error.code for result in results if result.error} == {"secret_found"}
    assert turns > OPERATIONS / 2

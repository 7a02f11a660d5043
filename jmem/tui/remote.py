"""The daemon, asked from the event loop without ever blocking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jmem.client import Client
from jmem.core.errors import JmemError

T = TypeVar("T")
_THREADS = 6
"""Calls at once; a slow one keeps nobody else waiting."""


class Remote:
    """`await remote(lambda daemon: daemon.search(…))`: the call runs in a thread and raises JmemError, as `client` does."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._pool = ThreadPoolExecutor(_THREADS, "jmem-tui")
        self._closed = False

    async def __call__(self, call: Callable[[Client], T]) -> T:
        if self._closed:
            raise asyncio.CancelledError  # whoever asks while the interface is left ends with it
        try:
            return await asyncio.wrap_future(self._pool.submit(call, self.client))
        except ImportError as error:  # a part that is imported when it is needed, and is there no more
            raise JmemError(
                f"jmem was upgraded or removed while this was open: {error}", code="upgraded",
                fix="copy what is not saved yet, leave, and start jmem again",
            ) from error  # fmt: skip

    def close(self) -> None:
        """Wait for nobody: what is under way ends by itself."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

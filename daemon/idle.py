"""What happens after a time without use. A timer is armed by use and lapses: without use nothing ever ticks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Idle:
    """Calls `act` on the event loop once `seconds` have passed since `last_used()`; 0 seconds: never."""

    def __init__(self, seconds: float, last_used: Callable[[], float], busy: Callable[[], bool], act: Callable[[], object]) -> None:  # fmt: skip
        """`last_used` in terms of `time.monotonic`; while `busy` nothing happens."""
        self._seconds = seconds
        self._last_used = last_used
        self._busy = busy
        self._act = act
        self._timer: asyncio.TimerHandle | None = None

    def touch(self) -> None:
        """It is used now; costs nothing while the timer runs. Call on the event loop."""
        if self._timer is None and self._seconds:
            self._arm(self._seconds)

    def cancel(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        left = self._seconds if self._busy() else self._last_used() + self._seconds - time.monotonic()
        if left > 0:
            self._arm(left)
        else:
            self._act()

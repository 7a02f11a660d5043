"""The end of purges that other machines ordered: they come in the feed, and what they reach takes seconds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jmem.core.service import MemoryService


class Eraser:
    """Ends the purges that are due, in a thread of its own. Thread-safe."""

    def __init__(self, service: MemoryService, log: Any) -> None:
        self._service, self._log = service, log
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False

    def ask(self) -> None:
        """Begin soon; asked while it is at work, it begins once more after that."""
        with self._lock:
            self._again = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="jmem-erase", daemon=True)
                self._thread.start()

    def threads(self) -> list[threading.Thread]:
        """Those at work, to be waited for."""
        with self._lock:
            return [] if self._thread is None else [self._thread]

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._again:
                    self._thread = None
                    return
                self._again = False
            try:
                self._service.finish_purges()
            except Exception as failure:  # noqa: BLE001  the thread's edge: what is due is repeated at the next start
                self._log.error("a purge could not be ended", exc_info=failure)

"""What the first screen does not need is imported once it stands, so that an upgrade under an open interface can't take
a place away: its modules would be gone, or be those of another version."""

from __future__ import annotations

import threading
import time
from importlib import import_module
from pkgutil import iter_modules

PACKAGES = ("jmem.tui", "jmem.tui.widgets", "jmem.tui.screens")
AFTER_S = 1.5
"""From the start until then the first screen stands, and its list is read."""
REST_S = 0.02
"""After each module, so that no key waits."""


def begin() -> None:
    """Import them in a thread of its own, which nobody waits for."""
    threading.Thread(target=_all, name="jmem-ahead", daemon=True).start()


def modules() -> list[str]:
    """Every module of the interface."""
    return [f"{name}.{module.name}" for name in PACKAGES for module in iter_modules(import_module(name).__path__)]


def _all() -> None:
    for name in modules():
        if name != "jmem.tui.reference":  # which is a program of its own
            import_module(name)
            time.sleep(REST_S)

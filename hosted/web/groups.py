"""Every group of pages."""

from __future__ import annotations

from hosted.web import (
    account,
    activity,
    conflicts,
    connections,
    consent,
    devices,
    entry,
    export,
    front,
    keys,
    memories,
    memory,
    passwords,
    review,
    several,
    timeline,
    welcome,
)  # fmt: skip
from hosted.web.routing import Pages


def groups() -> list[Pages]:
    """In the order in which their addresses are tried."""
    modules = (front, entry, passwords, consent, welcome, several, timeline, review, conflicts, memories, memory, connections, keys, activity,
               devices, account, export)  # fmt: skip
    return [module.pages for module in modules]

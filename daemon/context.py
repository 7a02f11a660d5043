"""What every part of the running daemon shares."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jmem
from daemon.backups import DailyBackups
from daemon.events import Hub
from daemon.lock import FileLock
from daemon.logs import Log
from daemon.metrics import Metrics
from daemon.sockets import Tcp
from daemon.users import Users
from jmem.core import places
from jmem.core.settings import Settings


@dataclass
class Daemon:
    """The composition root's result: made once by `lifecycle`, handed to every route."""

    settings: Settings
    users: Users
    tcp: Tcp
    log: Log
    metrics: Metrics
    hub: Hub
    backups: DailyBackups
    lock: FileLock
    """the daemon's own; lost when the home is removed under it"""
    stop: Callable[[], None]
    """begin to stop; from any thread"""
    embedder: Any = None
    activated: bool = False
    """whether systemd holds the sockets"""
    started: float = field(default_factory=time.time)
    build: str = field(default_factory=lambda: build())
    stopping: threading.Event = field(default_factory=threading.Event)


def build() -> str:
    """The version and the moment its files were put in place: tells a newer installation from the one that runs."""
    return f"{jmem.__version__}+{places.installation()}"

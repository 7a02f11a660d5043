"""What is connected, as the clients' own settings say it. Asks no daemon and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jmem.cli.connect import CLIENTS
from jmem.cli.connect.change import entry_of
from jmem.cli.connect.place import Client, Machine, Place, is_ours
from jmem.core.errors import JmemError


@dataclass(frozen=True)
class Entry:
    """jmem's entry in one file of a client."""

    place: Place
    value: Mapping[str, Any] | None
    problem: JmemError | None = None
    """why the file can't be read"""

    @property
    def form(self) -> str | None:
        """stdio, http, or None where there is no entry of ours."""
        if not is_ours(self.value):
            return None
        return "stdio" if self.value and "command" in self.value else "http"

    @property
    def url(self) -> str | None:
        """The URL of an http entry."""
        if self.value is None or self.form != "http":
            return None
        return next(str(self.value[key]) for key in ("url", "serverUrl", "httpUrl") if key in self.value)


@dataclass(frozen=True)
class State:
    """A known client on this machine."""

    client: Client
    installed: bool
    entries: tuple[Entry, ...]

    @property
    def form(self) -> str | None:
        """How it is connected: stdio, http or None."""
        return next((entry.form for entry in self.entries if entry.form), None)

    @property
    def problem(self) -> JmemError | None:
        """Why one of its files can't be read."""
        return next((entry.problem for entry in self.entries if entry.problem), None)


def state_of(client: Client, machine: Machine, user: str) -> State:
    """What a client's files say."""
    return State(client, client.installed(machine), tuple(_entry(place, user) for place in client.used(machine)))


def every_state(machine: Machine, user: str) -> list[State]:
    """Every known client, in the order of the documentation."""
    return [state_of(client, machine, user) for client in CLIENTS.values()]


def _entry(place: Place, user: str) -> Entry:
    try:
        return Entry(place, entry_of(place, user))
    except JmemError as error:
        return Entry(place, None, error)


def amiss(entry: Entry, home: str, default_home: str, port: int | None) -> str | None:
    """Why an entry of ours does not reach the jmem of `home`; None when it does."""
    value = entry.value or {}
    if entry.form == "http":
        at = urlsplit(entry.url or "").port
        return f"its URL is of port {at}, the daemon's is {port}" if port is not None and at != port else None
    command = Path(str(value.get("command")))
    if not command.is_absolute():
        return f"its command {command} is no absolute path"
    if not command.exists():
        return f"its command {command} does not exist"
    env = value.get("env")
    theirs = str(env.get("JMEM_HOME", default_home)) if isinstance(env, dict) else default_home
    return f"its memories are those of {theirs}" if theirs != home else None

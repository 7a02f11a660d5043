"""The programs that a user has connected, and what each may do.

They live in `clients.json` beside the user's store, not in it: a restored backup must bring back neither a key that was
revoked since nor a permission that was taken away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from daemon.files import read_json, write_json
from jmem.core.actor import Actor
from jmem.core.errors import NotFound, StorageFailed
from jmem.core.model import check_client, check_tags, now_iso


@dataclass(frozen=True, slots=True)
class Client:
    """A connected program. `tags` None: it may see every memory; `generation` counts its keys.

    `review`: what it writes waits for the owner. `writes_per_hour` None: as many changes as it likes.
    """

    name: str
    read: bool = True
    write: bool = True
    delete: bool = True
    tags: tuple[str, ...] | None = None
    review: bool = False
    writes_per_hour: int | None = None
    generation: int = 1
    connected_at: str = ""
    revoked: bool = False

    @property
    def key_generation(self) -> str:
        """What its key is made from: with the moment, so that a lost client list brings no old key back to life."""
        return f"{self.generation} {self.connected_at}"

    @property
    def actor(self) -> Actor:
        """The client with its permissions, as the service takes it."""
        return Actor(
            self.name, self.read, self.write, self.delete, self.tags, self.review, self.writes_per_hour, owner=False
        )

    def as_dict(self) -> dict[str, Any]:
        """The shape of GET /clients."""
        return {**asdict(self), "tags": None if self.tags is None else list(self.tags)}


class Clients:
    """The clients of one user. Thread-safe; every change is on disk when its method returns."""

    def __init__(self, folder: Path, changed: Callable[[], None] = lambda: None) -> None:
        """A file that can't be read is reported by every method: no program is let in on a guess."""
        self._path = folder / "clients.json"
        self._changed = changed
        self._lock = threading.Lock()
        self._held: dict[str, Client] = {}
        self.trouble: StorageFailed | None = None
        """why nobody knows which clients there are"""
        try:
            self._held = {name: _client(name, value) for name, value in (read_json(self._path) or {}).items()}
        except StorageFailed as error:
            self.trouble = error
        except (TypeError, AttributeError):
            self.trouble = StorageFailed(f"{self._path} is damaged", code="damaged")
        if self.trouble is not None:
            self.trouble.fix = (
                f"mend or remove {self._path} and restart; removed, each program is to be connected again"
            )

    @property
    def _all(self) -> dict[str, Client]:
        if self.trouble is not None:
            raise self.trouble.with_traceback(None)
        return self._held

    def all(self) -> list[Client]:
        """Every client, by name; raises StorageFailed."""
        return [self._all[name] for name in sorted(self._all)]

    def find(self, name: str) -> Client | None:
        """One client, if it was ever connected; raises StorageFailed."""
        return self._all.get(name)

    def get(self, name: str) -> Client:
        """One client; raises NotFound `unknown_client`, StorageFailed."""
        client = self._all.get(name)
        if client is None:
            raise NotFound(f"no client is called {name!r}", code="unknown_client", client=name,
                           fix=f"jmem connect {check_client(name)}")  # fmt: skip
        return client

    def connect(self, name: str, *, rotate: bool = False) -> Client:
        """The client, made at first use; a revoked one comes back, and `rotate` too, with a new key."""
        check_client(name)
        with self._lock:
            old = self._all.get(name)
            if old is None:
                return self._put(Client(name, connected_at=now_iso()))
            if rotate or old.revoked:
                return self._put(replace(old, generation=old.generation + 1, revoked=False, connected_at=now_iso()))
            return old

    def meet(self, name: str) -> Client:
        """The client, noted where it was never met; a revoked one stays revoked. Raises Invalid, StorageFailed."""
        known = self.find(check_client(name))
        if known is not None:
            return known
        with self._lock:
            return self._all.get(name) or self._put(Client(name, connected_at=now_iso()))

    def change(self, name: str, values: Mapping[str, Any]) -> Client:
        """Change read, write, delete, tags, review or writes_per_hour; raises NotFound (also when it is disconnected), Invalid."""
        fields = dict(values)
        if fields.get("tags") is not None:
            fields["tags"] = tuple(check_tags(fields["tags"]))
        with self._lock:
            client = self.get(name)
            if client.revoked:
                raise NotFound(
                    f"{name} is disconnected", code="unknown_client", client=name, fix=f"jmem connect {name}"
                )
            return self._put(replace(client, **fields))

    def revoke(self, name: str) -> Client:
        """Make the client's key worthless; raises NotFound."""
        with self._lock:
            return self._put(replace(self.get(name), revoked=True))

    def _put(self, client: Client) -> Client:
        after = {**self._all, client.name: client}
        write_json(self._path, {name: _stored(c) for name, c in sorted(after.items())})
        self._held = after
        self._changed()
        return client


def _stored(client: Client) -> dict[str, Any]:
    return {name: value for name, value in client.as_dict().items() if name != "name"}


def _client(name: str, value: Mapping[str, Any]) -> Client:
    """Raises TypeError, AttributeError when the stored form is not what this wrote."""
    known = {k: v for k, v in value.items() if k in Client.__slots__ and k != "name"}
    if known.get("tags") is not None:
        known["tags"] = tuple(known["tags"])
    client = Client(name, **known)
    flags = (client.read, client.write, client.delete, client.review, client.revoked)
    if not all(isinstance(flag, bool) for flag in flags):
        raise TypeError("a permission is not true or false")
    if client.writes_per_hour is not None and (type(client.writes_per_hour) is not int or client.writes_per_hour < 1):
        raise TypeError("the cap on changes is no number")
    return client

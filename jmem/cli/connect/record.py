"""What `connect` wrote, so that `disconnect` can take exactly that back: `$JMEM_HOME/connections.json`."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jmem.core.errors import StorageFailed


@dataclass(frozen=True)
class Written:
    """One file that jmem changed."""

    path: str
    digest: str
    """SHA-256 of the file as jmem left it"""
    backup: str | None = None
    """the copy of the file as it was before jmem first touched it; None when there was no file"""
    folders: tuple[str, ...] = ()
    """folders made for it"""
    made: tuple[str, ...] = ()
    """the key that holds servers, when jmem made it"""


@dataclass(frozen=True)
class Connection:
    """One client connected for one user."""

    client: str
    user: str
    form: str
    """stdio or http"""
    at: str
    files: tuple[Written, ...] = field(default=())


class Connections:
    """The record of every connection written from this home."""

    def __init__(self, home: Path) -> None:
        self.path = home / "connections.json"
        self._all = self._load()

    def all(self) -> list[Connection]:
        """Every connection, by user and client."""
        return [self._all[key] for key in sorted(self._all)]

    def get(self, user: str, client: str) -> Connection | None:
        """What was written for a client, None when nothing was."""
        return self._all.get(f"{user}/{client}")

    def put(self, connection: Connection) -> None:
        """Note a connection, durably."""
        self._all[f"{connection.user}/{connection.client}"] = connection
        self._save()

    def remove(self, user: str, client: str) -> None:
        """Forget a connection."""
        if self._all.pop(f"{user}/{client}", None):
            self._save()

    def _load(self) -> dict[str, Connection]:
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            return {key: _connection(value) for key, value in raw["connections"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageFailed(
                f"{self.path} is damaged: {error!r}", code="bad_connections", fix=f"mv {self.path} {self.path}.damaged"
            ) from None

    def _save(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({"version": 1, "connections": {k: asdict(c) for k, c in self._all.items()}}, indent=2)
        handle, name = tempfile.mkstemp(prefix=".connections.", dir=self.path.parent)  # mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(self.path)


def _connection(raw: dict[str, Any]) -> Connection:
    files = tuple(Written(**{**f, "folders": tuple(f["folders"]), "made": tuple(f["made"])}) for f in raw["files"])
    return replace(Connection(**{**raw, "files": ()}), files=files)

"""What a backup holds: every table as COPY writes it, each with the number and the digest of its rows.

A sequence of parts, each a letter, a length (4 bytes) and so many bytes:

    M  what the backup is: format, revision, time, tables with their columns
    D  rows of the table whose turn it is, as text
    E  the end of that table: rows, SHA-256 of all of its text
    Z  the end
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hosted.operate.sealed import Damaged, Writer
from jmem.core.errors import Invalid

FORMAT = 1
_HEAD = struct.Struct(">cI")
_MOST = 1 << 30
"""Of one part: what COPY hands over at once, which is no larger than a value of Postgres."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is copied; its generated columns are not."""

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]

    def query(self) -> str:
        """What reads its rows, in an order that is the same in every copy."""
        listed = ", ".join(map(quoted, self.columns))
        order = ", ".join(map(quoted, self.order)) or 't::text COLLATE "C"'
        return f"SELECT {listed} FROM jmem.{quoted(self.name)} t ORDER BY {order}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is."""

    revision: str
    created_at: str
    version: str
    tables: tuple[Table, ...]

    def encode(self) -> bytes:
        """As a part."""
        return json.dumps({"format": FORMAT, **asdict(self)}).encode()

    @staticmethod
    def parse(raw: bytes) -> Manifest:
        """Of a part; raises Invalid `newer` for a format of a later version."""
        found: dict[str, Any] = json.loads(raw)
        if found["format"] != FORMAT:
            raise Invalid("the backup was made by a newer version", code="newer", fix="upgrade jmem")
        tables = tuple(Table(t["name"], tuple(t["columns"]), tuple(t["order"])) for t in found["tables"])
        return Manifest(found["revision"], found["created_at"], found["version"], tables)


@dataclass(frozen=True, slots=True)
class Total:
    """The rows of one table."""

    rows: int
    sha256: str


class Parts:
    """Writes parts."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._digest = hashlib.sha256()

    def manifest(self, manifest: Manifest) -> None:
        """The first one."""
        self._part(b"M", manifest.encode())

    async def rows(self, data: bytes) -> None:
        """Rows of the table whose turn it is."""
        self._digest.update(data)
        self._part(b"D", data)

    def end_table(self, rows: int) -> Total:
        """The end of that table."""
        total = Total(rows, self._digest.hexdigest())
        self._part(b"E", json.dumps(asdict(total)).encode())
        self._digest = hashlib.sha256()
        return total

    def end(self) -> None:
        """The last one."""
        self._part(b"Z", b"")
        self._writer.close()

    def _part(self, kind: bytes, data: bytes) -> None:
        self._writer.write(_HEAD.pack(kind, len(data)) + data)


class Archive:
    """Reads the parts of one backup, each table once and in order."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._held = iter(pieces), bytearray()
        kind, data = self._part()
        if kind != b"M":
            raise Damaged("the backup does not begin as one")
        self.manifest = Manifest.parse(data)
        self.totals: dict[str, Total] = {}

    def table(self, table: Table) -> Iterator[bytes]:
        """The rows of the next table; raises Damaged when they are not those that were written."""
        digest = hashlib.sha256()
        while True:
            kind, data = self._part()
            if kind == b"D":
                digest.update(data)
                yield data
                continue
            if kind != b"E":
                raise Damaged(f"the rows of {table.name} do not end")
            total = Total(**json.loads(data))
            if total.sha256 != digest.hexdigest():
                raise Damaged(f"the rows of {table.name} are not those that were written")
            self.totals[table.name] = total
            return

    def end(self) -> None:
        """Raise Damaged unless nothing is left."""
        if self._part()[0] != b"Z" or self._held or any(self._pieces):
            raise Damaged("the backup does not end where it should")

    def read_through(self) -> dict[str, Total]:
        """Read everything, and keep nothing but the totals."""
        for table in self.manifest.tables:
            for _ in self.table(table):
                pass
        self.end()
        return self.totals

    def _part(self) -> tuple[bytes, bytes]:
        kind, length = _HEAD.unpack(self._take(_HEAD.size))
        if length > _MOST:
            raise Damaged("the backup has a part without end")
        return kind, self._take(length)

    def _take(self, length: int) -> bytes:
        while len(self._held) < length:
            piece = next(self._pieces, None)
            if piece is None:
                raise Damaged("the backup ends too early")
            self._held += piece
        taken = bytes(self._held[:length])
        del self._held[:length]
        return taken


def quoted(name: str) -> str:
    """A name as SQL takes any."""
    return '"' + name.replace('"', '""') + '"'

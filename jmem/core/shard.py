"""One qdrant-edge shard on disk and the mark that says what it holds.

Pitfalls that bind (measured, docs/adr): edge holds the GIL in every call, so batches stay small; no fork
after one is open; never `optimize()`; a rejected batch is already in its write-ahead log, so vectors are
checked before; a full disk kills the process (see ROOM); what was not flushed survives the process's death
but not a power cut, so the mark is written after a flush only and everything past it is applied again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jmem.core.errors import StorageFailed
from jmem.core.filter import Filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float16] | NDArray[np.float32]

log = logging.getLogger(__name__)
T = TypeVar("T")

FORMAT = 2
"""Of payload and mark; another one is rebuilt."""
MAX_UPSERT = 500
MARK = "watermark.json"
OPENING = "opening"
"""There while edge opens the shard: found at the next start, the process died of it."""
ROOM = 64 << 20
"""Free bytes without which edge neither opens nor writes. It maps sparse files: a page the disk has no room
for kills the whole process (SIGBUS), and no exception tells."""


class IndexDamaged(Exception):
    """The shard can't be used: it is rebuilt."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a shard held when it was last flushed."""

    fingerprint: str
    dimension: int
    store_id: str
    seq: int = 0
    """every op up to this one is in it"""
    complete: bool = False
    """whether it has ever caught up"""
    format: int = FORMAT

    @staticmethod
    def read(folder: Path) -> Mark | None:
        """The mark of a shard's folder; None when there is none that can be read."""
        try:
            return Mark(**json.loads((folder / MARK).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Put it into a shard's folder, whole or not at all; raises OSError."""
        part = folder / (MARK + ".part")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(folder / MARK)


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """A memory as the index knows it: no text, only what filters need."""

    id: str
    vector: Vector
    payload: Mapping[str, Any]


def payload(
    *,
    tags: Sequence[str],
    client: str,
    state: str,
    privacy: str,
    at: str,
    expires_at: str | None,
    thread: str | None,
    source: str | None,
) -> dict[str, Any]:
    """The payload of a memory's point.

    All words stand in one field, each with the letter of its kind, since every field index that is made costs
    100 ms of fsyncs with the GIL held, at the first start of all times.
    """
    keys = [_key("tag", tag) for tag in tags]
    single = {"client": client, "state": state, "privacy": privacy, "thread": thread, "source": source}
    keys += [_key(kind, value) for kind, value in single.items() if value is not None]
    return {"keys": keys, "at": seconds(at), **({"expires": seconds(expires_at)} if expires_at else {})}


_KINDS = {"tag": "t", "client": "c", "state": "s", "privacy": "p", "thread": "h", "source": "o"}
_ACTIVE = "s:active"


def _key(kind: str, value: str) -> str:
    return f"{_KINDS[kind]}:{value}"


def seconds(moment: str) -> float:
    """A `model.iso` text as seconds since the Unix epoch."""
    return datetime.fromisoformat(moment).timestamp()


def check_room(folder: Path) -> None:
    """Raise StorageFailed `disk_full` where edge must not write now."""
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < ROOM:
        raise StorageFailed(f"less than {ROOM >> 20} MiB are free on the disk of {folder}, which the index needs",
                            code="disk_full", fix="free some space; the index goes on by itself")  # fmt: skip


class Shard:
    """Opened at first use and after `release`. Searches may come from any thread, changes from one.

    Whatever opens it or writes to it raises StorageFailed `disk_full`, changing nothing, while there is no ROOM.
    """

    def __init__(self, folder: Path, mark: Mark) -> None:
        self.folder = folder
        self.mark = mark
        self.unflushed = 0
        """operations since the last flush"""
        self._lock = threading.RLock()
        self._edge: Any = None
        self._released: int | None = None
        """how many points it had when its memory was given back"""
        self._expiring = False
        """whether the index of expiry times was made, which is at the first memory that has one"""
        self._special = True
        """whether a point may be other than active without expiry, so that even the default filter is needed"""

    @staticmethod
    def create(folder: Path, mark: Mark) -> Shard:
        """A new, empty shard; what stood there is removed."""
        import qdrant_edge as edge

        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_room(folder.parent)
        folder.mkdir(mode=0o700)
        shard = Shard(folder, mark)
        vectors = edge.EdgeVectorParams(size=mark.dimension, distance=edge.Distance.Cosine,
                                        datatype=edge.VectorStorageDatatype.Float16)  # fmt: skip
        shard._edge = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={"dense": vectors}))
        shard._edge.update(edge.UpdateOperation.create_field_index("keys", edge.KeywordIndexParams()))
        shard._edge.update(edge.UpdateOperation.create_field_index("at", edge.FloatIndexParams()))
        shard._special = False
        mark.write(folder)
        return shard

    # ---- opening and closing ------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether it is open in memory."""
        return self._edge is not None

    def load(self) -> None:
        """Open it now rather than at first use; raises IndexDamaged, StorageFailed."""
        self._call(lambda edge: None)

    def _call(self, use: Callable[[Any], T]) -> T:
        with self._lock:
            try:
                if self._edge is None:
                    self._load()
                return use(self._edge)
            except (IndexDamaged, StorageFailed):
                raise
            except Exception as error:  # edge's errors share no base class
                raise IndexDamaged(f"index {self.folder.name}: {error}") from error

    def _change(self, use: Callable[[Any], None]) -> None:
        def checked(edge: Any) -> None:
            check_room(self.folder)
            use(edge)

        self._call(checked)

    def _load(self) -> None:
        import qdrant_edge as edge

        if Mark.read(self.folder) is None:  # loading an empty folder would make a shard of no dimension
            raise IndexDamaged(f"index {self.folder.name}: its mark is gone")
        check_room(self.folder)
        opening = self.folder / OPENING
        if opening.exists():
            raise IndexDamaged(f"index {self.folder.name}: the process died while opening it")
        opening.touch()
        shard = edge.EdgeShard.load(str(self.folder))
        opening.unlink()
        info = shard.info()
        active = edge.Filter(must=[_among([_ACTIVE])])
        self._expiring = "expires" in info.payload_schema
        self._special = self._expiring or info.points_count != shard.count(edge.CountRequest(filter=active))
        self._edge = shard

    def release(self) -> None:
        """Flush and give back its memory and files; the next use opens it again."""
        with self._lock:
            if self._edge is not None:
                if self.unflushed:
                    try:
                        self.flush()
                    except StorageFailed as error:  # what is past the mark is applied again
                        log.warning("index %s is closed without a flush: %s", self.folder.name, error)
                edge, self._edge = self._edge, None
                self._released = int(edge.info().points_count)
                edge.close()

    def destroy(self) -> None:
        """Close it without flushing and remove its files."""
        with self._lock:
            edge, self._edge, self._released = self._edge, None, None
            self.unflushed = 0
            if edge is not None:
                edge.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- changes ------------------------------------------------------------------------------

    def upsert(self, points: Sequence[IndexPoint]) -> None:
        """Insert or replace at most MAX_UPSERT points; raises ValueError for a vector of another dimension,
        with NaN, or of length zero (nothing of the batch is stored then), IndexDamaged when edge fails."""
        import numpy as np
        import qdrant_edge as edge

        if not points:
            return
        if len(points) > MAX_UPSERT:
            raise ValueError(f"{len(points)} points in one batch")
        batch = []
        for point in points:
            vector: Any = np.asarray(point.vector, np.float32)
            if vector.shape != (self.mark.dimension,):
                raise ValueError(f"a vector of shape {vector.shape} for an index of {self.mark.dimension}")
            length = float(np.linalg.norm(vector))
            if not np.isfinite(length) or length == 0:
                raise ValueError("a vector without direction")
            batch.append(edge.Point(point.id, {"dense": vector}, dict(point.payload)))
            self._special = self._special or _ACTIVE not in point.payload["keys"] or "expires" in point.payload
        if not self._expiring and any("expires" in point.payload for point in points):
            made = edge.UpdateOperation.create_field_index("expires", edge.FloatIndexParams())
            self._change(lambda shard: shard.update(made))
            self._expiring = True
        self._change(lambda shard: shard.update(edge.UpdateOperation.upsert_points(batch)))
        self.unflushed += len(batch)

    def delete(self, ids: Sequence[str]) -> None:
        """Take points out; ids that are not there are no error."""
        import qdrant_edge as edge

        for start in range(0, len(ids), MAX_UPSERT):
            chunk = list(ids[start : start + MAX_UPSERT])
            self._change(lambda shard, chunk=chunk: shard.update(edge.UpdateOperation.delete_points(chunk)))  # type: ignore[misc]
            self.unflushed += len(chunk)

    def flush(self, seq: int | None = None, *, complete: bool = False) -> None:
        """Make everything so far durable and write the mark: all ops up to `seq` are in it."""
        self._change(lambda shard: shard.flush())
        seq = self.mark.seq if seq is None else seq
        self.mark = replace(self.mark, seq=seq, complete=complete or self.mark.complete)
        try:
            self.mark.write(self.folder)
        except OSError as error:
            raise IndexDamaged(f"index {self.folder.name}: {error}") from error
        self.unflushed = 0

    # ---- reads --------------------------------------------------------------------------------

    def count(self) -> int:
        """How many points there are; told without opening it again, so that whoever watches leaves it at rest."""
        with self._lock:
            if self._edge is None and self._released is not None:
                return self._released
        return self._call(lambda shard: int(shard.info().points_count))

    def search(
        self, vector: Any, filter: Filter, now: str, limit: int, without: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The (id, cosine) of the nearest points that pass the filter and are none of `without`, best first."""
        import qdrant_edge as edge

        if filter.visible == () or filter.deleted:
            return []

        def query(shard: Any) -> list[Any]:
            nearest = edge.Query.Nearest(vector, using="dense")
            where = self._filter(filter, now, without)
            return list(shard.query(edge.QueryRequest(limit=limit, filter=where, query=nearest)))

        return [(str(hit.id), float(hit.score)) for hit in self._call(query)]

    def scores(self, vector: Any, ids: Sequence[str]) -> dict[str, float]:
        """The cosines of these very points; ids without a point are absent."""
        import qdrant_edge as edge

        if not ids:
            return {}

        def query(shard: Any) -> list[Any]:
            nearest = edge.Query.Nearest(vector, using="dense")
            among = edge.Filter(must=[edge.HasIdCondition(set(ids))])
            return list(shard.query(edge.QueryRequest(limit=len(ids), filter=among, query=nearest)))

        return {str(hit.id): float(hit.score) for hit in self._call(query)}

    def _filter(self, filter: Filter, now: str, without: Sequence[str] = ()) -> Any:
        import qdrant_edge as edge

        must = [_among([_key("tag", tag)]) for tag in filter.tags]
        must_not: list[Any] = [edge.HasIdCondition(set(without))] if without else []
        if filter.visible is not None:
            must.append(_among([_key("tag", tag) for tag in filter.visible]))
        for kind, values in (
            ("client", filter.clients),
            ("state", filter.states if self._special else ()),
            ("privacy", (filter.privacy,)),
            ("thread", (filter.thread,)),
            ("source", (filter.source,)),
        ):
            if any(value is not None for value in values):
                must.append(_among([_key(kind, value) for value in values if value is not None]))
        if filter.since is not None:
            must.append(_range("at", gte=seconds(filter.since)))
        if filter.until is not None:
            must.append(_range("at", lt=seconds(filter.until)))
        if self._expiring and not filter.expired and not filter.lapsed:
            must_not.append(_range("expires", lte=seconds(now)))
        return edge.Filter(must=must, must_not=must_not) if must or must_not else None


def _among(keys: list[str]) -> Any:
    import qdrant_edge as edge

    return edge.FieldCondition(key="keys", match=edge.MatchAny(keys))


def _range(key: str, **bounds: float) -> Any:
    import qdrant_edge as edge

    return edge.FieldCondition(key=key, range=edge.RangeFloat(**bounds))

"""The vector index of one user: derived from rows and vectors, disposable, never trusted for existence.

Each folder `index/<hash of fingerprint>-<generation>/` holds one shard and its mark. `current` answers
searches. Where the embedder changed, or a rebuild was asked for, a second shard is `filling` and takes its
place when it has caught up; with nothing usable on disk the filling one answers as far as it has come.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jmem.core.errors import StorageFailed
from jmem.core.filter import Filter
from jmem.core.shard import FORMAT, IndexDamaged, IndexPoint, Mark, Shard, payload

__all__ = ["IndexDamaged", "IndexPoint", "Mark", "Shard", "VectorIndex", "payload"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class VectorIndex:
    """Searched from any thread; changed by the indexer's thread alone."""

    def __init__(self, folder: Path, store_id: str) -> None:
        """Look at what is on disk under `folder`; nothing is opened yet. Folders of another store, of an
        older format or without a readable mark are removed."""
        self._folder = folder
        self._store_id = store_id
        self._lock = threading.Lock()
        self.current: Shard | None = None
        self.filling: Shard | None = None
        self._generation = 0
        self.damaged: Shard | None = None
        """a shard that failed a search; the indexer drops and rebuilds it"""
        self.on_damage: Callable[[], None] = lambda: None
        found = self._scan()
        complete = [shard for shard in found if shard.mark.complete]
        if complete:
            self.current = complete[-1]
        unfinished = [shard for shard in found if not shard.mark.complete]
        if unfinished:
            self.filling = unfinished[-1]
            self.current = self.current or self.filling
        for shard in found:
            if shard is not self.current and shard is not self.filling:
                shard.destroy()

    def _scan(self) -> list[Shard]:
        """Usable shards, oldest generation first."""
        if self._folder.is_file():
            self._folder.unlink()
        shards: list[tuple[int, Shard]] = []
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            number = folder.name.rpartition("-")[2]
            generation = int(number) if number.isdecimal() else 0
            self._generation = max(self._generation, generation)
            mark = Mark.read(folder)
            if mark and mark.format == FORMAT and mark.store_id == self._store_id:
                shards.append((generation, Shard(folder, mark)))
            elif folder.is_dir():
                log.info("removing the unusable index %s", folder.name)
                shutil.rmtree(folder, ignore_errors=True)
        return [shard for _, shard in sorted(shards, key=lambda pair: pair[0])]

    # ---- shards -------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str | None:
        """Of the shard that answers searches."""
        shard = self.current
        return shard.mark.fingerprint if shard else None

    def target(self, fingerprint: str, dimension: int, *, fresh: bool = False) -> Shard:
        """The shard to write to for this embedder, made where there is none; `fresh` asks for a new one.

        Raises IndexDamaged when none can be made (read-only), StorageFailed when the disk is full.
        """
        wanted = (fingerprint, dimension)
        with self._lock:
            if not fresh:
                for shard in (self.filling, self.current):
                    if shard is not None and (shard.mark.fingerprint, shard.mark.dimension) == wanted:
                        return shard
            self._generation += 1
            name = f"{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}-{self._generation}"
            try:
                made = Shard.create(self._folder / name, Mark(fingerprint, dimension, self._store_id))
            except StorageFailed:
                raise
            except Exception as error:  # edge's errors share no base class
                raise IndexDamaged(f"no index can be made in {self._folder}: {error}") from error
            dropped, self.filling = self.filling, made
            if self.current is None or self.current is dropped:
                self.current = made
        if dropped is not None:
            dropped.destroy()
        return made

    def finish(self, seq: int) -> None:
        """The filling shard has caught up: make it durable and let it answer; the one before is removed."""
        with self._lock:
            shard = self.filling
            if shard is None:
                return
            shard.flush(seq, complete=True)
            before, self.current, self.filling = self.current, shard, None
        if before is not None and before is not shard:
            before.destroy()

    def drop(self, shard: Shard) -> None:
        """Give up a damaged shard and remove its files."""
        with self._lock:
            if self.current is shard:
                self.current = None
            if self.filling is shard:
                self.filling = None
            if self.current is None:
                self.current = self.filling
        shard.destroy()

    def release(self) -> None:
        """Give back memory and open files while nothing is asked; the next use opens them again."""
        for shard in self._shards():
            shard.release()

    def close(self) -> None:
        """Flush and close."""
        self.release()

    def _shards(self) -> list[Shard]:
        with self._lock:
            return [shard for shard in {id(s): s for s in (self.current, self.filling)}.values() if shard is not None]

    # ---- reads --------------------------------------------------------------------------------

    def search(
        self, vector: Any, filter: Filter, now: str, limit: int, without: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The (id, cosine) of the nearest memories that pass the filter, `without` some; [] without a usable index.

        Raises StorageFailed while the disk has no room to open it.
        """
        return self._ask(lambda shard: shard.search(vector, filter, now, limit, without), [])

    def scores(self, vector: Any, ids: Sequence[str]) -> dict[str, float]:
        """The cosines of these memories; those without a point are absent."""
        return self._ask(lambda shard: shard.scores(vector, ids), {})

    def _ask(self, use: Callable[[Shard], T], without: T) -> T:
        """Ask the current shard; once more when another has taken its place meanwhile."""
        while (shard := self.current) is not None:
            try:
                return use(shard)
            except IndexDamaged as error:
                if shard is self.current:
                    log.warning("search goes on without vectors: %s", error)
                    self.damaged = shard
                    self.on_damage()
                    return without
        return without

    def points(self) -> int:
        """Points in the shard that answers; 0 without one, or while it is damaged or can't be opened."""
        shard = self.current
        try:
            return shard.count() if shard else 0
        except (IndexDamaged, StorageFailed):
            return 0

    def size(self) -> int:
        """Bytes that its files take on disk (edge's files are sparse). Files come and go meanwhile."""
        size = 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    size += Path(folder, name).lstat().st_blocks * 512
        return size

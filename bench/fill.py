"""Homes filled with many memories, kept between runs under the user's cache folder.

A real fill is `jmem import`, which embeds every memory (two minutes for 10,000). A synthetic one goes through
the store's own classes and takes random unit vectors instead: the same sizes and costs without the embedding.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bench import text
from bench.harness import say
from bench.home import Home

if TYPE_CHECKING:
    from jmem.core.embed import Embedder

_STEP = 500


def filled(count: int, *, synthetic: bool) -> Path:
    """A home with `count` memories and as many vectors, its daemon stopped; make a copy to work in."""
    kind = f"{count}-{'synthetic' if synthetic else 'real'}"
    kept = _cache() / f"{kind}-{_version()}"
    if not kept.is_dir():
        for old in _cache().glob(f"{kind}-*"):
            shutil.rmtree(old)
        part = kept.with_name("part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        say(f"filling a store with {count:,} memories{' (synthetic vectors)' if synthetic else ''}; it is kept")
        home = Home(part)
        home.start()
        try:
            if synthetic:
                home.stop()
                _fill(home, count)
                home.start()
            else:
                lines = (json.dumps(item) + "\n" for item in text.memories(count))
                home.jmem("import", "-", "--from", "jsonl", input="".join(lines), timeout=3600)
            home.indexed(1800)
        finally:
            home.stop()
        part.rename(kept)
    return kept


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jmem-bench"


def _embedder(home: Path) -> Embedder:
    from jmem.core.embed import make_embedder
    from jmem.core.settings import load

    return make_embedder(load({"JMEM_HOME": str(home)}))


def _version() -> str:
    """Names everything that a filled home depends on: text, schema, formats and embedder."""
    from jmem.core import shard, vectors
    from jmem.core.store import schema

    parts = [
        text.VERSION, text.words()[:3000], len(schema.MIGRATIONS), shard.FORMAT, vectors.VERSION,
        _embedder(Path("/nowhere")).fingerprint, Path(schema.__file__).read_bytes(), sys.platform,
    ]  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _fill(home: Home, count: int) -> None:
    import numpy as np

    from jmem.core.access import AccessLog
    from jmem.core.actor import Actor
    from jmem.core.drafts import Added, draft_of
    from jmem.core.service import MemoryService
    from jmem.core.store import Store
    from jmem.core.texts import text_key
    from jmem.core.vectors import VectorStore

    embedder, random = _embedder(home.path), np.random.default_rng(5)
    folder = home.user_folder
    store, access, vectors = Store.open(folder), AccessLog(folder), VectorStore(folder)
    service = MemoryService(store, access)
    items = text.memories(count)
    while step := list(islice(items, _STEP)):
        added = service.add_many([draft_of(item) for item in step], Actor("bench"), kind="import")
        made = random.standard_normal((len(added), embedder.dimension), dtype=np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        rows = []
        for result, vector in zip(added, made, strict=True):
            if not isinstance(result, Added):
                raise result
            memory = result.memory
            rows.append((memory.id, text_key(memory.content, memory.speaker), vector))
        vectors.put(embedder.fingerprint, rows)
    vectors.close()
    access.close()
    store.close()

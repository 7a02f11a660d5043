"""What is derived from the stores: the embedder's files, the vectors, the index. Also the unit that starts the daemon."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from daemon.check.process import alone, answers, ask, at_rest
from daemon.check.store import Home, copy_of, users_of
from jmem.core.embed import EmbedderUnavailable, make_embedder
from jmem.core.errors import Conflict, Invalid, JmemError
from jmem.core.feeding import wanted
from jmem.core.finding import Check, Finding
from jmem.core.settings import Settings
from jmem.core.shard import MARK, Mark
from jmem.core.store.store import DATABASE
from jmem.core.vectors import DATABASE as VECTORS


def derived_checks(settings: Settings) -> Iterator[Check]:
    """The checks of what can be made anew."""
    yield lambda: _embedder(settings)
    try:
        users = users_of(settings.home)
    except JmemError:
        return  # store_checks has said so
    for user in users:
        if (user.folder / DATABASE).exists():
            yield lambda user=user: _vectors(user)  # type: ignore[misc]
            yield lambda user=user: _index(user, settings)  # type: ignore[misc]


def _embedder(settings: Settings) -> Iterator[Finding]:
    try:
        embedder = make_embedder(settings)
        if embedder.remote:
            yield Finding("embedder", "ok", f"{embedder.name} at {settings['embedder.base_url']} (not asked here)")
            return
        embedder.load()
        vector = embedder.embed(["a sentence to try it with"])
        embedder.unload()
    except EmbedderUnavailable as error:
        said = f"{error.message}; search goes on with words alone"
        yield Finding("embedder", "fail", said, "run ./install.sh again")
    except JmemError as error:
        yield Finding("embedder", "fail", error.message, error.fix)
    else:
        yield Finding(
            "embedder", "ok", f"{embedder.name}: its files are as they should be; {vector.shape[1]} dimensions"
        )


def _vectors(user: Home) -> Iterator[Finding]:
    path = user.folder / VECTORS
    if not path.exists():
        return
    try:
        with copy_of(path) as conn:
            verdict = str(conn.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict == "ok":
        yield Finding("vectors", "ok", f"{user.label}{path.stat().st_size / (1 << 20):.1f} MiB, sound")
        return

    def mend() -> str:
        with alone(user.home):
            for file in path.parent.glob(f"{VECTORS}*"):
                file.unlink()
        return f"{user.label}removed the damaged vectors; they are made anew from the memories"

    yield Finding("vectors", "fail", f"{user.label}{path} is damaged: {verdict}", "jmem doctor --fix", mend)


def _index(user: Home, settings: Settings) -> Iterator[Finding]:
    if answers(user.home):
        yield from _index_at_work(user)
    else:
        yield from _index_at_rest(user, settings)


def _wanted(user: Home, where: str) -> tuple[set[str], int, str]:
    """Ids of the memories that belong into the index, the last seq, the store's id."""
    with copy_of(user.folder / DATABASE) as conn:
        live = {id for (id,) in conn.execute(f"SELECT id FROM memories WHERE {where}")}
        seq = conn.execute("SELECT COALESCE(MAX(seq), 0) FROM ops").fetchone()[0]
        store = conn.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
    return live, int(seq), str(store[0]) if store else ""


def _index_at_work(user: Home) -> Iterator[Finding]:
    state = ask(user.home, "GET", "/api/v1/index", user=user.name)
    said = f"{user.label}{state['points']} of {state['expected']} memories, {state['pending']} waiting"
    if state.get("error"):
        yield Finding("index", "warn", f"{said}: {state['error']}", "jmem index status")
    elif state["state"] == "ready" and not state["pending"] and state["points"] != state["expected"]:
        yield Finding("index", "fail", f"{said}: the two differ", "jmem index rebuild", lambda: _rebuild(user))
    else:
        yield Finding("index", "ok", f"{said} ({state['state']})")


def _rebuild(user: Home) -> str:
    ask(user.home, "POST", "/api/v1/index/rebuild", {"embed": False}, user=user.name, timeout=600)
    return f"{user.label}the index is being made anew from the stored vectors"


def _index_at_rest(user: Home, settings: Settings) -> Iterator[Finding]:
    try:
        embedder = make_embedder(settings)
    except Invalid:
        return  # the check of the embedder has said so
    live, seq, store_id = _wanted(user, wanted(embedder.remote, bool(settings["allow_remote_for_local"])))
    folders = sorted(path.parent for path in (user.folder / "index").glob(f"*/{MARK}"))
    marks = [(folder, mark) for folder in folders if (mark := Mark.read(folder)) and mark.store_id == store_id]
    if not marks:
        yield Finding(
            "index", "ok", f"{user.label}none yet; the daemon makes it" if live else f"{user.label}nothing to index"
        )
        return
    folder, mark = marks[-1]
    if not mark.fingerprint.startswith(f"{embedder.name}/"):
        yield Finding("index", "ok", f"{user.label}of another embedder; the daemon makes it anew")
        return
    try:
        with at_rest(user.home):
            held = _ids_in(folder)
    except Conflict:
        yield Finding("index", "ok", f"{user.label}the daemon has just started; not looked at")
        return
    except Exception as error:  # noqa: BLE001 (edge's errors share no base class)
        yield Finding(
            "index", "fail", f"{user.label}{folder} can't be read: {error}", "jmem doctor --fix", lambda: _drop(user)
        )
        return
    if mark.seq >= seq and mark.complete and held != live:
        said = f"{len(live - held)} memories are missing in it, {len(held - live)} are in it that should not be"
        yield Finding("index", "fail", f"{user.label}{said}", "jmem doctor --fix", lambda: _drop(user))
    else:
        behind = f"; {seq - mark.seq} changes wait for the daemon" if mark.seq < seq else ""
        yield Finding("index", "ok", f"{user.label}{len(held)} of {len(live)} memories{behind}")


def _ids_in(folder: Path) -> set[str]:
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(str(folder))
    try:
        found: set[str] = set()
        offset = None
        while True:
            points, offset = shard.scroll(
                edge.ScrollRequest(offset=offset, limit=1000, with_payload=False, with_vector=False)
            )
            found.update(str(point.id) for point in points)
            if offset is None:
                return found
    finally:
        shard.close()


def _drop(user: Home) -> str:
    with alone(user.home):
        shutil.rmtree(user.folder / "index", ignore_errors=True)
    return f"{user.label}removed the index; the daemon makes it anew from the stored vectors"

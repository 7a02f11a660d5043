from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from jmem.core import purge, receipts
from jmem.core.access import Wanted
from jmem.core.errors import NotFound, StorageFailed
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.store import fts, oplog
from tests.core.conftest import User, open_user

ME = Actor("cli")
SECRET = "Xylophonquartz"


def holding(folder: Path, *needles: str) -> list[str]:
    """Files of the user that hold one of the texts, in any letters, anywhere in their bytes."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes().lower()
            found += [path.name for needle in needles if needle.lower().encode() in data]
    return found


def fill(service: MemoryService, n: int = 30) -> None:
    for k in range(n):
        service.add(Draft(f"ordinary memory {k} about {k * 7919}", thread="t"), ME, similar=False)


def test_a_purged_text_is_in_no_byte_of_any_file(user: User):
    service = user.service
    fill(service)
    tag = SECRET + "tag"
    id = service.add(Draft(f"my {SECRET} is hidden in the wall", thread="t", tags=(tag,), speaker=SECRET[:8],
                           metadata={"where": SECRET}), ME).memory.id  # fmt: skip
    fill(service)
    service.edit(id, {"content": f"my {SECRET}two is hidden under the bed"}, ME)
    service.edit(id, {"content": f"gone from here, {SECRET}three"}, ME)
    service.delete(id, ME)
    service.restore(id, ME)
    service.list(purge_filter(), ME)
    service.store.outside(lambda conn: conn.execute("PRAGMA wal_checkpoint(FULL)").fetchone())
    assert holding(user.folder, SECRET)
    with service.store.reader() as conn:
        key = conn.execute("SELECT text_key FROM memories WHERE id = ?", (id,)).fetchone()[0]
    (receipt,) = service.purge(id[-8:], ME)
    assert receipt.id == id
    assert {p.place for p in receipt.receipt} >= {
        "memory and tags", "operations", "full-text index", "neighbours' context", "access log", "backups",
    }  # fmt: skip
    assert all(p.result in ("erased", "forgotten again whenever one is restored") for p in receipt.receipt)
    user.access.flush()
    # FTS5 stores lower-cased stems, with the prefix they share with the term before cut off
    assert holding(user.folder, SECRET, "quartztwo", "quartzthre", "hidden under") == []
    assert [p.name for p in user.folder.rglob("*") if p.is_file() and key in p.read_bytes()] == []
    assert user.store.write(lambda tx: fts.check(tx.conn)) == []
    with pytest.raises(NotFound) as caught:
        service.get(id, ME)
    assert caught.value.detail["purged"]


def purge_filter():
    from jmem.core.filter import Filter

    return Filter()


def test_it_stays_purged_whatever_comes_later(user: User):
    service = user.service
    id = service.add(Draft(f"{SECRET} one"), ME).memory.id
    with service.store.reader() as conn:
        ops = oplog.ops_of(conn, id)
    service.purge(id, ME)
    applied = service.apply_ops(ops, ME)  # a copy from another machine
    assert (applied.applied, applied.known) == (0, 1)
    for attempt in (lambda: service.restore(id, ME), lambda: service.edit(id, {"content": "x"}, ME),
                    lambda: service.history(id, ME), lambda: service.purge(id, ME)):  # fmt: skip
        with pytest.raises(NotFound):
            attempt()
    report = service.undo(ME)
    assert report.undone == []
    assert report.skipped == [(id, "forgotten for ever")]
    assert holding(user.folder, SECRET) == []


def test_neighbours_forget_it_too(user: User):
    service = user.service
    ids = [service.add(Draft(f"{w} word", thread="t"), ME).memory.id for w in ("before", SECRET, "after")]
    service.purge(ids[1], ME)
    assert user.context(ids[0]) == "after word"
    assert user.context(ids[2]) == "before word"


def test_the_access_log_forgets_the_queries_that_found_it(user: User):
    from jmem.core.access import Access, Answer

    id = user.service.add(Draft("plain"), ME).memory.id
    other = user.service.add(Draft("another"), ME).memory.id
    user.access.record(
        Access("claude", "search", [Answer(id, 0.9, {"text": 1.0}), Answer(other, 0.1)], f"where is {SECRET}")
    )
    user.access.flush()
    assert holding(user.folder, SECRET)
    user.service.purge(id, ME)
    assert holding(user.folder, SECRET) == []
    assert user.access.find(Wanted(memory=id)) == []
    (left,) = [a for a in user.access.recent() if a.what == "search"]
    assert left.query is None
    assert [a.id for a in left.answers] == [other]


def test_a_restored_backup_is_purged_again(user: User, tmp_path: Path):
    id = user.service.add(Draft(f"{SECRET} one"), ME).memory.id
    kept = user.service.add(Draft("kept"), ME).memory.id
    user.store.backup(tmp_path / "old.db")
    user.service.purge(id, ME)
    user.close()
    for path in user.folder.glob("memories.db*"):
        path.unlink()
    (user.folder / "memories.db").write_bytes((tmp_path / "old.db").read_bytes())
    assert holding(user.folder, SECRET)
    again = open_user(user.folder)
    assert again.service.replay_purges() == [id]
    assert again.service.replay_purges() == []
    assert again.service.get(kept, ME).content == "kept"
    with pytest.raises(NotFound):
        again.service.get(id, ME)
    again.close()
    assert holding(user.folder, SECRET) == []


def test_a_purge_that_was_cut_short_is_finished_at_the_next_start(user: User, monkeypatch: pytest.MonkeyPatch):
    id = user.service.add(Draft(f"{SECRET} one"), ME).memory.id

    def full(conn: sqlite3.Connection) -> None:
        raise StorageFailed("the disk is full", code="disk_full")

    with monkeypatch.context() as patch:
        patch.setattr(purge, "scrub", full)
        (receipt,) = user.service.purge(id, ME)
    assert "next start" in receipt.receipt[-1].result
    user.close()
    (user.folder / "purged.jsonl").write_text('{"id": "cut')  # as a crash may leave it
    again = open_user(user.folder)
    told: list[list[str]] = []
    again.service._hooks += (lambda ids: (told.append(ids), receipts.erased("index"))[1],)
    assert again.service.replay_purges() == []
    assert told == [[id]]
    assert again.service.replay_purges() == []
    assert told == [[id]]
    again.close()
    assert holding(user.folder, SECRET) == []
    assert purge.read_purged(user.folder) == {id}


def test_a_place_that_fails_stops_no_other(tmp_path: Path):
    user = open_user(tmp_path)

    def broken(ids: list[str]) -> receipts.PlaceReceipt:
        raise OSError("the index is gone")

    service = MemoryService(user.store, user.access, purge_hooks=(broken, lambda ids: receipts.erased("vectors")))
    id = service.add(Draft(f"{SECRET} one"), ME).memory.id
    (receipt,) = service.purge(id, ME)
    results = {p.place: p.result for p in receipt.receipt}
    assert results["derived data"].startswith("to be repeated")
    assert results["vectors"] == "erased"
    assert holding(user.folder, SECRET) == []
    with user.store.reader() as conn:
        assert purge.due(conn) == [id]
    user.close()


def test_purged_ids_are_kept_apart_one_a_line(user: User):
    ids = [user.service.add(Draft(f"number {n}"), ME).memory.id for n in range(3)]
    user.service.purge(ids[:2], ME)
    user.service.batch([{"op": "purge", "id": ids[2]}], ME)
    lines = [json.loads(line) for line in (user.folder / "purged.jsonl").read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(ids)
    assert all(len(line["at"]) == 24 for line in lines)


def test_purging_several_is_all_or_nothing(user: User):
    id = user.service.add(Draft("one"), ME).memory.id
    with pytest.raises(NotFound):
        user.service.purge([id, "ffff-ffff"], ME)
    assert user.service.get(id, ME).content == "one"


def test_a_cut_line_does_not_take_the_next_id_with_it(tmp_path: Path):
    first, second = (f"0199f3a1-c2d4-7b3e-9c1a-0123456789a{n}" for n in (1, 2))
    purge.append_purged(tmp_path, [first])
    path = tmp_path / purge.PURGED_FILE
    path.write_bytes(path.read_bytes() + b'{"id": "0199f3a1-c2d4')
    purge.append_purged(tmp_path, [second])
    assert purge.read_purged(tmp_path) == {first, second}
    assert path.stat().st_mode & 0o077 == 0

from __future__ import annotations

from pathlib import Path

from jmem.core import clocks
from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.backup import prune, write_backup
from jmem.core.drafts import Draft
from jmem.core.lost import Lost, Watch
from jmem.core.restore import restore
from jmem.core.service import MemoryService
from jmem.core.store import Store

OWNER = Actor("cli")


def remember(folder: Path, *texts: str) -> list[str]:
    with Store.open(folder) as store:
        access = AccessLog(folder)
        service = MemoryService(store, access)
        ids = [service.add(Draft(text), OWNER).memory.id for text in texts]
        access.close()
    return ids


def lose(folder: Path) -> None:
    for path in folder.glob("memories.db*"):
        path.unlink()


def look(folder: Path) -> Lost | None:
    with Store.open(folder) as store:
        return Watch(store).look()


def test_a_new_store_is_not_lost(tmp_path: Path):
    assert look(tmp_path) is None
    remember(tmp_path, "one")
    write_backup(tmp_path, "manual")
    assert look(tmp_path) is None


def test_a_backup_of_what_is_not_here_any_more(tmp_path: Path):
    remember(tmp_path, "one")
    copy = write_backup(tmp_path, "daily").path
    lose(tmp_path)
    found = look(tmp_path)
    assert found is not None
    assert (found.fix, found.copy) == (f"jmem backup restore {copy.name}", copy)
    # it does not go away with the first memory, nor with a backup of the new store
    remember(tmp_path, "two")
    write_backup(tmp_path, "daily")
    assert look(tmp_path) == found
    assert prune(tmp_path, 1, spare=found.copy) == []


def test_a_restored_backup_is_what_it_was(tmp_path: Path):
    remember(tmp_path, "one")
    copy = write_backup(tmp_path, "daily").path
    lose(tmp_path)
    remember(tmp_path, "two")
    write_backup(tmp_path, "daily")
    restore(tmp_path, copy, lambda work: work())
    assert look(tmp_path) is None


def test_what_was_purged_was_not_lost(tmp_path: Path):
    ids = remember(tmp_path, "one")
    write_backup(tmp_path, "daily")
    with Store.open(tmp_path) as store:
        access = AccessLog(tmp_path)
        MemoryService(store, access).purge(ids, OWNER)
        access.close()
    assert look(tmp_path) is None


def test_traces_without_a_backup(tmp_path: Path):
    remember(tmp_path, "one")
    (tmp_path / "purged.jsonl").write_text('{"id":"x"}\n')
    lose(tmp_path)
    found = look(tmp_path)
    assert found is not None
    assert "traces of some in access.db, purged.jsonl:" in found.reason
    remember(tmp_path, "two")
    assert look(tmp_path) is None


def test_a_clock_that_was_set_right_makes_no_older_backup_another_store(tmp_path: Path):
    remember(tmp_path, "one")
    write_backup(tmp_path, "daily")
    with Store.open(tmp_path) as store:
        assert clocks.set_right(store, 3_600_000, 60_000) == 1
    assert look(tmp_path) is None

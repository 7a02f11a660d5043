"""Everything derived from memories.db may vanish or rot at any time: it is made again, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.home import Home, temporary_home, wait_for

FACTS = [
    "I prefer aisle seats on long flights",
    "Maya is allergic to peanuts",
    "The spare key hangs behind the boiler",
    "Our cat is called Biscuit and hates thunder",
    "The dentist moved to Elm Street 12",
    *(f"Rainfall in week {n} was {n * 7 % 31} millimetres" for n in range(20)),
]
QUESTION, FACT = "which seat should I book on the plane", FACTS[0]


@pytest.fixture(scope="module")
def kept() -> Iterator[Home]:
    with temporary_home() as home:
        home.start()
        home.jmem("add", "--lines", "-", input="\n".join(FACTS))
        home.indexed()
        yield home


def index_folder(home: Home) -> Path:
    return next(p for p in sorted((home.user_folder / "index").iterdir()) if p.is_dir())


def delete_index(home: Home) -> None:
    shutil.rmtree(home.user_folder / "index")


def truncate_index(home: Home) -> None:
    for path in index_folder(home).rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)


def empty_index(home: Home) -> None:
    for path in index_folder(home).rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def overwrite_index(home: Home) -> None:
    for path in index_folder(home).rglob("*"):
        if path.is_file() and path.stat().st_size < 1 << 20:
            path.write_bytes(b"another version wrote this " * 20)


def watermark(home: Home) -> Path:
    return next((home.user_folder / "index").rglob("watermark.json"))


def lose_watermark(home: Home) -> None:
    watermark(home).unlink()


def spoil_watermark(home: Home) -> None:
    watermark(home).write_bytes(b"\x00\xff{")


def rewrite_watermark(home: Home, **values: object) -> None:
    path = watermark(home)
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def watermark_of_the_future(home: Home) -> None:
    """As after `memories.db` was put back from an older copy."""
    rewrite_watermark(home, seq=10_000_000)


def watermark_of_the_past(home: Home) -> None:
    rewrite_watermark(home, seq=0)


def watermark_of_another_version(home: Home) -> None:
    rewrite_watermark(home, format=99)


def watermark_with_more_than_is_known(home: Home) -> None:
    rewrite_watermark(home, colour="red")


def watermark_of_another_store(home: Home) -> None:
    rewrite_watermark(home, store_id="00000000-0000-4000-8000-000000000000")


def watermark_of_another_embedder(home: Home) -> None:
    rewrite_watermark(home, fingerprint="other")


def index_of_another_embedder(home: Home) -> None:
    folder = index_folder(home)
    folder.rename(folder.with_name("0123456789abcdef"))


def died_while_opening(home: Home) -> None:
    """What a process leaves that was killed by its own index (a page that the disk had no room for)."""
    (index_folder(home) / "opening").touch()


def index_is_a_file(home: Home) -> None:
    shutil.rmtree(home.user_folder / "index")
    (home.user_folder / "index").write_text("not a folder")


def delete_vectors(home: Home) -> None:
    for path in home.user_folder.glob("vectors.db*"):
        path.unlink()


def truncate_vectors(home: Home) -> None:
    path = home.user_folder / "vectors.db"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def spoil_vectors(home: Home) -> None:
    (home.user_folder / "vectors.db").write_bytes(b"no database at all" * 1000)


def vectors_of_another_embedder(home: Home) -> None:
    with contextlib.closing(sqlite3.connect(home.user_folder / "vectors.db")) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            if "fingerprint" in columns:
                db.execute(f"UPDATE {table} SET fingerprint = 'other'")
        db.commit()


def delete_everything_derived(home: Home) -> None:
    delete_index(home)
    delete_vectors(home)
    for path in home.user_folder.glob("access.db*"):
        path.unlink()


DAMAGE: list[Callable[[Home], None]] = [
    delete_index, truncate_index, empty_index, overwrite_index, lose_watermark, spoil_watermark,
    watermark_of_the_future, watermark_of_the_past, watermark_of_another_version, watermark_with_more_than_is_known,
    watermark_of_another_store, watermark_of_another_embedder, index_of_another_embedder,
    died_while_opening, index_is_a_file,
    delete_vectors, truncate_vectors, spoil_vectors, vectors_of_another_embedder, delete_everything_derived,
]  # fmt: skip


def assert_whole(home: Home) -> None:
    with contextlib.closing(home.api()) as api:

        def caught_up() -> bool:
            index = api.must("GET", "/index")
            return (index["state"], index["points"], index["pending"]) == ("ready", len(FACTS), 0)

        wait_for(caught_up, 60, "a whole index")
        found = api.search(QUESTION, mode="vector", limit=3)
        assert found["results"][0]["content"] == FACT
        assert api.search(QUESTION)["results"][0]["content"] == FACT
        assert sorted(m["content"] for m in api.every()) == sorted(FACTS)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_what_is_derived_mends_itself_at_the_next_start(kept: Home, damage: Callable[[Home], None]) -> None:
    kept.kill()
    damage(kept)
    first = kept.json("search", QUESTION)
    assert first["results"][0]["content"] == FACT
    assert_whole(kept)


@pytest.mark.parametrize("damage", [delete_index, delete_vectors, delete_everything_derived], ids=lambda f: f.__name__)
def test_what_is_derived_may_vanish_under_a_running_daemon(kept: Home, damage: Callable[[Home], None]) -> None:
    kept.start()
    kept.indexed()
    damage(kept)
    added = kept.json("add", "The boat is moored at pier seven")
    assert kept.json("search", "where is the boat moored")["results"][0]["id"] == added["id"]
    assert kept.json("search", QUESTION)["results"][0]["content"] == FACT
    kept.jmem("rm", added["id"], "--purge", "--yes")
    assert_whole(kept)
    kept.stop()
    kept.start()
    assert_whole(kept)

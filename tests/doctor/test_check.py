"""What the deep check finds in a home that something happened to, and what it mends. No daemon runs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.check.derived import _index_at_work
from daemon.check.home import _disk
from daemon.check.process import at_rest
from daemon.check.store import users_of
from jmem.core import places
from jmem.core.access import AccessLog
from jmem.core.backup import copies
from jmem.core.index import VectorIndex
from jmem.core.indexer import Indexer
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.shard import Mark, Shard
from jmem.core.store import Store
from jmem.core.vectors import VectorStore
from tests.core.conftest import WordEmbedder
from tests.doctor.conftest import Home

Sql = Callable[[str], None]


def test_a_sound_home_has_nothing_to_mend(home: Home) -> None:
    found = home.check()
    assert {name: f.message for name, f in found.items() if f.status != "ok"} == {}
    assert {"sqlite", "permissions", "config", "disk", "daemon", "ops", "rows", "fulltext", "clock", "embedder"} <= set(
        found
    )
    assert found["rows"].message == "2 memories, as the op log says"


def test_no_home_yet_is_fine(tmp_path: Path) -> None:
    from daemon.check import examine_home

    found = examine_home({"JMEM_HOME": str(tmp_path / "none")})
    assert [f.status for f in found] == ["ok", "ok"]
    assert not (tmp_path / "none").exists()


def test_as_a_process(home: Home) -> None:
    (home.path / "config.toml").unlink()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "daemon", "check", "--json"], env={**os.environ, "JMEM_HOME": str(home.path)},
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["ok"] is True


def test_open_permissions_are_closed(home: Home) -> None:
    home.database.chmod(0o644)
    home.folder.chmod(0o755)
    found = home.check()["permissions"]
    assert found.status == "fail"
    assert str(home.database) in found.message
    mended = home.check(mend=True)["permissions"]
    assert mended.status == "ok"
    assert mended.fixed
    assert stat.S_IMODE(home.database.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_a_database_that_nobody_may_write_is_opened_to_its_owner(home: Home) -> None:
    home.database.chmod(0o400)
    found = home.check()["permissions"]
    assert (found.status, found.fix) == ("fail", "jmem doctor --fix")
    assert f"{home.database} can't be written" in found.message
    assert home.check(mend=True)["permissions"].status == "ok"
    assert stat.S_IMODE(home.database.stat().st_mode) == 0o600


def test_a_row_that_is_not_what_the_ops_say_is_made_anew(home: Home, sql: Sql) -> None:
    sql(f"UPDATE memories SET content = 'I prefer windows' WHERE id = '{home.ids[0]}'")
    found = home.check()["rows"]
    assert found.status == "fail"
    assert home.ids[0] in found.message
    found_after = home.check(mend=True)
    assert found_after["rows"].status == "ok"
    assert found_after["fulltext"].status == "ok"
    with Store.open(home.folder) as store, store.reader() as conn:
        assert conn.execute("SELECT content FROM memories WHERE id = ?", (home.ids[0],)).fetchone() == (
            "I prefer aisle seats",
        )


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM memories WHERE content = 'Hello'",
        "DELETE FROM memory_tags",
        "UPDATE memories SET deleted = 0 WHERE content = 'Bye'",
        "INSERT INTO memory_tags VALUES ('stray', 999)",
    ],
)
def test_rows_missing_revived_or_tagged_wrongly_are_found_and_mended(home: Home, sql: Sql, damage: str) -> None:
    sql(damage)
    assert home.check()["rows"].status == "fail"
    assert home.check(mend=True)["rows"].status == "ok"


def test_a_missing_full_text_entry_is_made_anew(home: Home, sql: Sql) -> None:
    sql("DELETE FROM memory_fts WHERE text LIKE '%aisle%'")
    assert "missing" in home.check()["fulltext"].message
    assert home.check(mend=True)["fulltext"].status == "ok"


def test_an_altered_op_is_not_mended_away(home: Home, sql: Sql) -> None:
    sql("UPDATE ops SET payload = replace(payload, 'aisle', 'window')")
    found = home.check(mend=True)["ops"]
    assert found.status == "fail"
    assert found.fix == "jmem backup restore"
    assert found.fixed is None


def test_a_damaged_file_and_a_newer_one(home: Home, sql: Sql) -> None:
    sql("PRAGMA user_version = 99")
    assert "newer jmem" in home.check()["store"].message
    content = bytearray(home.database.read_bytes())
    content[4096:8192] = os.urandom(4096)
    home.database.write_bytes(content)
    assert home.check()["store"].status == "fail"
    home.database.write_bytes(b"not a database at all" * 100)
    assert home.check()["store"].status == "fail"


def test_a_stamp_from_the_future_is_a_warning(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.check.store.wall_ms", lambda: int(time.time() * 1000) - 86_400_000)
    found = home.check()["clock"]
    assert found.status == "warn"
    assert "24 h in the future" in found.message


def test_configuration_that_cannot_be_read_hides_nothing_else(home: Home) -> None:
    (home.path / "config.toml").write_text("port = [")
    found = home.check()
    assert found["config"].status == "fail"
    assert found["config"].fix == "jmem config edit"
    assert found["permissions"].status == "ok"


def test_a_lost_or_damaged_secret(home: Home) -> None:
    (home.path / "secret").write_text("xyz")
    assert home.check()["secret"].status == "fail"
    (home.path / "secret").unlink()
    assert "URLs" in home.check()["secret"].message


def test_damaged_users_and_vectors(home: Home) -> None:
    (home.folder / "vectors.db").write_bytes(b"junk" * 2000)
    assert home.check()["vectors"].status == "fail"
    mended = home.check(mend=True)
    assert mended.get("vectors") is None
    (home.path / "users.json").write_text("{")
    assert home.check()["users"].status == "fail"


def test_a_stale_socket_is_removed(home: Home) -> None:
    path = Path(places.socket_path(str(home.path)))
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    found = home.check()["daemon"]
    assert found.status == "warn"
    assert "stale socket" in found.message
    assert home.check(mend=True)["daemon"].status == "ok"
    assert not path.exists()


def test_a_lock_held_by_a_process_that_does_not_answer(home: Home) -> None:
    with at_rest(home.path):
        found = home.check()["daemon"]
    assert found.status == "fail"
    assert f"process {os.getpid()} holds" in found.message


def test_the_port_held_by_another_program(home: Home) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        (home.path / "port").write_text(f"{port}\n{port}\n")
        found = home.check()["port"]
    assert found.status == "fail"
    assert f"pid {os.getpid()}" in found.message


def test_a_unit_that_starts_another_jmem(home: Home) -> None:
    assert "service" not in home.check()
    unit = home.path.parent / ".config/systemd/user/jmem.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/old/python -P -m daemon run\n")
    found = home.check()["service"]
    assert (found.status, found.fix) == ("warn", "jmem daemon install")
    assert "another jmem" in found.message


def test_errors_in_the_log(home: Home) -> None:
    log = home.path / "logs" / "daemon.log"
    log.parent.mkdir(exist_ok=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    lines = [{"event": "old", "level": "error", "timestamp": "2020-01-01T00:00:00Z"},
             {"event": "the disk is full", "level": "error", "timestamp": now}]  # fmt: skip
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + "half a li")
    found = home.check()["log"]
    assert found.status == "warn"
    assert "1 errors" in found.message
    assert "the disk is full" in found.message


def test_an_old_backup_is_a_warning_and_a_new_one_is_made(home: Home) -> None:
    backups = home.folder / "backups"
    backups.mkdir(exist_ok=True)
    old = backups / "old.db"
    shutil.copy(home.database, old)
    os.utime(old, (time.time() - 10 * 86_400,) * 2)
    found = home.check()["backups"]
    assert found.status == "warn"
    assert "10 days" in found.message
    mended = home.check(mend=True)["backups"]
    assert mended.status == "ok"
    (made,) = copies(home.folder, ("manual",))
    assert mended.fixed == f"wrote {made}"


def test_missing_or_altered_weights(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.path / "config.toml").unlink()
    weights = tmp_path / "model.onnx"
    monkeypatch.setattr("jmem.core.embed.bundled._model_path", lambda: weights)
    assert home.check()["embedder"].status == "fail"
    weights.write_bytes(b"altered")
    found = home.check()["embedder"]
    assert found.status == "fail"
    assert "search goes on" in found.message


def test_a_check_that_breaks_does_not_hide_the_others(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr("daemon.check.home._disk", broken)
    found = home.check()
    assert any("surprise" in f.message and f.status == "fail" for f in found.values())
    assert found["rows"].status == "ok"


def test_a_lost_store_is_missed(home: Home) -> None:
    assert "lost" not in home.check()
    for file in home.folder.glob("memories.db*"):
        file.unlink()
    found = home.check()["lost"]
    assert (found.status, "traces of some in access.db" in found.message) == ("warn", True)
    Store.open(home.folder).close()
    assert home.check()["lost"] == found


class Remote(WordEmbedder):
    """As the embedder of the home's settings calls itself."""

    name = "openai"
    fingerprint = "openai/none/64"


def _indexed(home: Home, embedder: WordEmbedder) -> None:
    """Have the daemon's part make the index."""
    with Store.open(home.folder) as store:
        vectors, index = VectorStore(home.folder), VectorIndex(home.folder / "index", store.store_id)
        indexer = Indexer(store, vectors, index, embedder)
        indexer.start()
        assert indexer.wait_idle(20)
        indexer.stop()
        index.close()
        vectors.close()


def test_an_index_without_what_a_remote_embedder_may_not_see_is_whole(home: Home) -> None:
    with Store.open(home.folder) as store:
        access = AccessLog(home.folder)
        MemoryService(store, access).add(Draft("the code is 4471", privacy="local"), Actor("cli"))
        access.close()
    _indexed(home, Remote(remote=True))
    found = home.check()["index"]
    assert (found.status, found.message) == ("ok", "2 of 2 memories")


def test_an_index_that_lacks_a_memory_is_made_anew(home: Home) -> None:
    _indexed(home, Remote(remote=True))
    (folder,) = (path.parent for path in (home.folder / "index").glob("*/watermark.json"))
    mark = Mark.read(folder)
    assert mark is not None
    shard = Shard(folder, mark)
    shard.delete(home.ids[:1])
    shard.release()
    assert home.check()["index"].status == "fail"
    home.check(mend=True)
    assert not folder.exists()


def test_the_index_of_another_embedder_is_left_to_the_daemon(home: Home) -> None:
    _indexed(home, WordEmbedder())
    assert home.check()["index"].message == "of another embedder; the daemon makes it anew"


@pytest.mark.parametrize(("points", "status"), [(2, "ok"), (1, "fail")])
def test_a_running_daemon_says_what_belongs_into_its_index(
    home: Home, monkeypatch: pytest.MonkeyPatch, points: int, status: str
) -> None:
    state = {"state": "ready", "points": points, "expected": 2, "pending": 0, "error": None}
    monkeypatch.setattr("daemon.check.derived.answers", lambda home: True)
    monkeypatch.setattr("daemon.check.derived.ask", lambda *args, **more: state)
    (found,) = _index_at_work(users_of(home.path)[0])
    assert found.status == status


@pytest.mark.parametrize(("free", "said"), [(40 << 20, "40 MiB free"), (3 << 30, "3.0 GiB free")])
def test_little_room_is_told_in_mib(free: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.check.home.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    (found,) = _disk(tmp_path)
    assert said in found.message

"""export, import, backup, index."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from .conftest import Jmem


def objects(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def listed(jmem: Jmem) -> list[dict]:
    memories = json.loads(jmem.ok("list", "--all", "--state", "all", "--json").out)["memories"]
    return sorted(memories, key=lambda memory: memory["id"])


def write_lines(path: Path, items: list[object]) -> Path:
    path.write_text(
        "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items), encoding="utf-8"
    )
    return path


def test_everything_survives_a_round_trip(jmem: Jmem, tmp_path: Path) -> None:
    here, there = jmem.apart(), jmem.apart()
    ids = here.ok("add", "--lines", "-t", "a", stdin="first é\nsecond\nthird\n").lines
    here.ok("edit", ids[0], "first, edited")
    here.ok("rm", ids[1])
    file = tmp_path / "all.jsonl"
    assert here.ok("export", "-o", str(file)).err == f"jmem: exported 3 memories (2 live, 1 deleted) to {file}\n"
    report = json.loads(there.ok("import", str(file), "--json").out)
    assert (report["added"], report["duplicates"], report["skipped"]) == (3, 0, [])
    assert listed(there) == listed(here)
    assert json.loads(there.ok("log", ids[0], "--json").out)["revisions"][0]["content"] == "first é"
    again = json.loads(there.ok("import", str(file), "--json").out)
    assert (again["added"], again["updated"], again["duplicates"]) == (0, 0, 3)
    assert here.ok("export").out == file.read_text(encoding="utf-8")


def test_export_filters_and_formats(jmem: Jmem, tmp_path: Path) -> None:
    jmem = jmem.apart()
    jmem.ok("add", "about work", "-t", "work")
    jmem.ok("add", "about home", "-t", "home")
    plain = [json.loads(line) for line in jmem.ok("export", "--no-history", "--tag", "work").lines]
    assert [item["content"] for item in plain] == ["about work"]
    assert "ops" not in plain[0]
    folder = tmp_path / "notes"
    assert json.loads(jmem.ok("export", "--format", "md", "-o", str(folder), "--json").out) == {
        "format": "md", "memories": 2, "path": str(folder),
    }  # fmt: skip
    assert sorted(path.read_text().rstrip().rpartition("\n")[2] for path in folder.glob("*.md")) == [
        "about home",
        "about work",
    ]
    assert "fix: jmem export --format md -o FOLDER" in jmem("export", "--format", "md").err
    other = jmem.apart()
    assert json.loads(other.ok("import", str(folder), "--json").out)["added"] == 2
    assert {memory["content"] for memory in listed(other)} == {"about home", "about work"}


def test_an_export_that_fails_leaves_the_old_file(jmem: Jmem, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "old.jsonl", ["the old export"])
    assert jmem("--user", "nobody", "export", "-o", str(file)).code == 5
    assert file.read_text() == "the old export\n"
    assert list(tmp_path.iterdir()) == [file]
    result = jmem("export", "-o", str(tmp_path / "no such folder" / "x.jsonl"))
    assert result.code == 1
    assert "No such file or directory" in result.err


def test_import_reports_item_by_item(jmem: Jmem, tmp_path: Path) -> None:
    jmem = jmem.apart()
    file = write_lines(
        tmp_path / "mixed.jsonl",
        [{"content": "good one"}, "{not json", {"content": ""}, "", {"content": "good two", "tags": ["t"], "speaker": "Ann"},
         {"content": "the key is AKIAIOSFODNN7EXAMPLQ"}, "[1]", {"content": "good one"}],
    )  # fmt: skip
    dry = json.loads(jmem.ok("import", str(file), "--dry-run", "--json").out)
    assert dry["dry_run"] is True
    assert jmem("list").out == ""
    result = jmem.ok("import", str(file), "--json")
    report = json.loads(result.out)
    assert {name: report[name] for name in ("added", "updated", "duplicates")} == {
        "added": 3,
        "updated": 0,
        "duplicates": 1,
    }
    assert {name: dry[name] for name in ("added", "updated", "duplicates")} == {
        "added": 3,
        "updated": 0,
        "duplicates": 1,
    }
    assert [entry["item"] for entry in report["skipped"]] == [2, 7, 3] or sorted(
        entry["item"] for entry in report["skipped"]
    ) == [2, 3, 7]
    assert all(entry["code"] and entry["reason"] for entry in report["skipped"])
    assert [entry["item"] for entry in report["masked"]] == [6]
    contents = {memory["content"] for memory in listed(jmem)}
    assert not [content for content in contents if "AKIAIOSFODNN7EXAMPLQ" in content]
    people = jmem.tty("import", str(file), env={"NO_COLOR": "1"})
    assert "jmem: line 2: not JSON" in people.out
    numbers = [int(line.split()[2].rstrip(":")) for line in people.out.splitlines() if line.startswith("jmem: line ")]
    assert numbers == [2, 3, 6, 7]
    assert (
        people.out.rstrip().endswith("added 0 · 4 already there · 1 masked · 3 skipped")
        or "already there" in people.out
    )
    jmem.ok("undo")
    assert listed(jmem) == []


def test_import_from_stdin_and_for_a_client(jmem: Jmem) -> None:
    jmem = jmem.apart()
    result = jmem.ok("import", "-", "--from", "jsonl", "--client", "claude", stdin='{"content":"piped in"}')
    assert dict(line.split("\t") for line in result.lines) == {
        "added": "1", "updated": "0", "duplicates": "0", "masked": "0", "skipped": "0",
    }  # fmt: skip
    assert listed(jmem)[0]["client"] == "claude"


def test_import_in_batches_is_one_action_and_repeats_safely(jmem: Jmem, tmp_path: Path) -> None:
    jmem = jmem.apart()
    file = write_lines(tmp_path / "many.jsonl", [{"content": f"line {n} of many", "thread": "t"} for n in range(1203)])
    assert json.loads(jmem.ok("import", str(file), "--json").out)["added"] == 1203
    assert json.loads(jmem.ok("import", str(file), "--json").out)["duplicates"] == 1203
    jmem.ok("undo")
    assert listed(jmem) == []


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["import", "/no/such/file.jsonl"], 5, "/no/such/file.jsonl does not exist"),
        (["import", "/no/such/file"], 5, "/no/such/file does not exist"),
        (["import", "/no/such/file", "--from", "md"], 5, "/no/such/file does not exist"),
        (["import", "/etc/hostname"], 2, "does not tell its format"),
        (["import", "-"], 2, "does not tell its format"),
    ],
)
def test_import_errors(argv: list[str], code: int, said: str, jmem: Jmem) -> None:
    result = jmem(*argv)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_an_import_of_nothing_but_bad_items_fails(jmem: Jmem, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "bad.jsonl", ["nope", '{"content": 5}'])
    result = jmem("import", str(file), "--json")
    assert result.code == 1
    assert len(json.loads(result.out)["skipped"]) == 2


def test_backup_and_restore(make_jmem) -> None:
    jmem = make_jmem()
    jmem.ok("add", "in the backup")
    made = json.loads(jmem.ok("backup", "--json").out)
    assert (made["memories"], made["verified"]) == (1, True)
    assert Path(made["path"]).is_file()
    jmem.ok("add", "not in the backup")
    rows = [line.split("\t") for line in jmem.ok("backup", "list").lines]
    assert rows[0][0] == made["name"]
    screen = jmem.tty("backup", "list", env={"NO_COLOR": "1"}).out
    assert made["name"] in screen
    assert max(map(len, screen.splitlines())) <= 80
    status = jmem.tty("daemon", "status", env={"NO_COLOR": "1"}).out
    assert re.search(r"(?m)^daemon +running, pid \d+, version ", status)
    assert re.search(r"(?m)^memory +\d+ MB$", status)
    assert json.loads(jmem.ok("backup", "list", "--json").out)["backups"][0]["name"] == made["name"]
    asks = jmem("backup", "restore", made["name"])
    assert (asks.code, "fix: add --yes" in asks.err) == (6, True)
    result = jmem.ok("backup", "restore", made["name"], "--yes")
    assert "restored 1 memories" in result.err
    assert [memory["content"] for memory in listed(jmem)] == ["in the backup"]
    replaced = result.err.rsplit(" ", 1)[1].strip()
    jmem.ok("backup", "restore", replaced, "--yes", "--json")
    assert len(listed(jmem)) == 2
    assert jmem("backup", "restore", "no-such-backup.db", "--yes").code == 5


def test_index(jmem: Jmem) -> None:
    user = jmem.apart()
    user.ok("add", "--lines", stdin="one for the index\ntwo for the index\n")
    state = json.loads(user.ok("index", "rebuild", "--json").out)
    assert (state["state"], state["indexed"], state["pending"]) == ("ready", 2, 0)
    assert json.loads(user.ok("index", "--json").out)["points"] == 2
    rows = dict(line.split("\t") for line in user.ok("index", "status").lines)
    assert rows["indexed"] == "2"
    assert "indexed" in user.tty("index").out
    assert json.loads(user.ok("index", "rebuild", "--embed", "--json").out)["indexed"] == 2


def test_a_lost_store_is_told(make_jmem) -> None:
    jmem = make_jmem()
    jmem.ok("add", "I prefer aisle seats")
    name = Path(jmem.ok("backup").out.strip()).name
    jmem.ok("daemon", "stop")
    for file in (jmem.home / "users").glob("*/memories.db*"):
        file.unlink()
    warning = f"the memories that the backup {name} holds are not here"
    fix = f"(fix: jmem backup restore {name})"
    for command in (["list"], ["list", "--all", "--jsonl"], ["search", "seats"]):
        err = jmem.ok(*command).err
        assert (warning in err, fix in err) == (True, True)
    assert warning in json.loads(jmem.ok("list", "--json").out)["warning"]
    assert f"warning\t{warning}" in jmem.ok("status").out
    assert "the store seems to be lost" in (jmem.home / "logs" / "daemon.log").read_text()
    assert warning in jmem("doctor").out
    jmem.ok("backup", "restore", name, "--yes")
    assert jmem.ok("list").err == ""
    assert "warning" not in jmem.ok("status").out


def test_import_stays_in_its_folder(make_jmem, tmp_path: Path) -> None:
    jmem = make_jmem()
    folder, outside = tmp_path / "notes", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.md").write_text("the diary of somebody else")
    (folder / "mine.md").write_text("my own note")
    (folder / "again.md").symlink_to("mine.md")
    (folder / "sub" / "out.md").symlink_to(outside / "secret.md")
    (folder / "dir").symlink_to(outside)
    (folder / "gone.md").symlink_to("nothing.md")
    os.mkfifo(folder / "pipe.md")
    report = json.loads(jmem.ok("import", str(folder), "--json").out)
    assert report["added"] == 2
    assert {(entry["item"], entry["reason"]) for entry in report["skipped"]} == {
        ("sub/out.md", "it is a link that leads out of the folder"),
        ("dir", "it is a link that leads out of the folder"),
        ("gone.md", "it is no file"),
        ("pipe.md", "it is no file"),
    }
    assert jmem.ok("search", "diary", "--mode", "text").out == ""
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert "duplicates\t2" in jmem.ok("import", str(link)).out


def test_a_restore_that_is_not_wanted(make_jmem) -> None:
    jmem = make_jmem()
    jmem.ok("add", "I prefer aisle seats")
    name = Path(jmem.ok("backup").out.strip()).name
    answered = jmem.tty("backup", "restore", name, keys=b"n\n", wait_for="[y/N]")
    assert (answered.code, "jmem: nothing was changed" in answered.out) == (0, True)
    assert len(jmem.ok("backup", "list").lines) == 1

"""add, search, list, show, edit, tag, rm, restore against a real daemon."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from jmem.cli.output import Output
from jmem.cli.remarks import not_taken

from .conftest import Jmem, command

FIELDS = {
    "id", "content", "tags", "state", "client", "source", "metadata", "privacy", "created_at", "updated_at", "occurred_at",
    "expires_at", "thread", "speaker", "supersedes", "deleted", "version",
}  # fmt: skip


def added(jmem: Jmem, *args: str, **options: object) -> dict:
    return json.loads(jmem.ok("add", *args, "--json", **options).out)


def shown(jmem: Jmem, id: str) -> dict:
    return json.loads(jmem.ok("show", id, "--json").out)


# ---- add


def test_add_by_words_stdin_and_dash(jmem: Jmem) -> None:
    assert added(jmem, "several", "words", "make one")["content"] == "several words make one"
    assert added(jmem, stdin="from a pipe\n")["content"] == "from a pipe"
    assert added(jmem, "-", stdin="first line\r\nsecond\tline\n\n")["content"] == "first line\r\nsecond\tline\n"
    id = jmem.ok("add", "--", "--json", "is an option").out.strip()
    assert shown(jmem, id)["content"] == "--json is an option"
    assert added(jmem, "words win", stdin="ignored")["content"] == "words win"


def test_add_answers_with_the_whole_memory(jmem: Jmem) -> None:
    memory = added(
        jmem, "I fly on Fridays", "-t", "travel", "--tag", "work", "--source", "calendar", "--thread", "week 12", "--speaker", "Ann",
        "--at", "2026-11-20T08:00:00Z", "--expires", "2099-01-01T00:00:00Z", "--local", "-m", "seat=12A", "-m", '{"miles":{"n":3}}',
    )  # fmt: skip
    assert set(memory) == FIELDS | {"duplicate", "similar", "differs"}
    assert memory["tags"] == ["travel", "work"]
    assert (memory["source"], memory["thread"], memory["speaker"]) == ("calendar", "week 12", "Ann")
    assert (memory["occurred_at"], memory["expires_at"]) == ("2026-11-20T08:00:00.000Z", "2099-01-01T00:00:00.000Z")
    assert (memory["privacy"], memory["client"], memory["duplicate"]) == ("local", "cli", False)
    assert memory["metadata"] == {"seat": "12A", "miles": {"n": 3}}
    assert shown(jmem, memory["id"])["metadata"] == memory["metadata"]


def test_add_prints_the_id_in_a_pipe_and_the_memory_on_a_terminal(jmem: Jmem) -> None:
    id = jmem.ok("add", "a quiet one").out.strip()
    assert len(id) == 36
    again = jmem.ok("add", "a quiet one")
    assert (again.out.strip(), again.err) == (id, f"jmem: already there: {id}\n")
    screen = jmem.tty("add", "a loud one", env={"NO_COLOR": "1"}).out
    assert screen.startswith("added\n")
    assert "a loud one" in screen


def test_add_names_what_resembles(jmem: Jmem) -> None:
    first = added(jmem, "The dentist is called Doctor Pereira and works in Porto")
    near = added(jmem, "The dentist is called Doctor Pereira and works in Porto on Mondays")
    assert near["duplicate"] is False
    assert first["id"] in [one["id"] for one in near["similar"]]
    assert "resembles" in jmem.tty("add", "The dentist is called Doctor Pereira and works in Porto on Tuesdays").out


def test_add_says_on_stderr_what_a_pipe_does_not_show(jmem: Jmem) -> None:
    first = added(jmem, "The plumber is called Joana and comes from Braga")
    near = jmem.ok("add", "The plumber is called Joana and comes from Braga by train")
    assert f"jmem: resembles {first['id'][-6:]}  The plumber is called Joana" in near.err
    assert len(near.lines) == 1
    past = jmem.ok("add", "over long ago", "--expires", "2020-01-01")
    assert "it expires in the past" in past.err


def test_a_repeated_add_says_what_it_did_not_take(jmem: Jmem) -> None:
    first = added(jmem, "said twice, once with more")
    again = jmem.ok("add", "said twice, once with more", "--local", "-t", "more")
    assert again.out.strip() == first["id"]
    assert f"fix: jmem edit {first['id'][-6:]} --local\n" in again.err
    assert f"fix: jmem tag {first['id'][-6:]} +more\n" in again.err
    assert "fix" not in jmem.ok("add", "said twice, once with more").err


def test_what_an_equal_memory_did_not_take_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    memory = {"id": "0" * 30 + "abcdef", "tags": ["old"], "differs": ["privacy", "tags", "expires_at", "source"]}
    fields = {"privacy": "local", "tags": ["new one", "old"], "expires_at": "2099-01-01T00:00:00.000Z", "source": "a b"}
    not_taken(Output({}), memory, fields)
    assert capsys.readouterr().err.splitlines() == [
        "jmem: not taken over, since the memory was there before: privacy, tags, expiry and source",
        "  fix: jmem edit abcdef --local --expires 2099-01-01T00:00:00.000Z --source 'a b'",
        "  fix: jmem tag abcdef '+new one'",
    ]


def test_add_lines(jmem: Jmem) -> None:
    result = jmem.ok(
        "add", "--lines", "-", "-t", "lined", stdin="one of the lines\n\n  \nthe other line\r\nlast without an end"
    )
    assert len(result.lines) == 3
    assert result.err == ""
    texts = [shown(jmem, id)["content"] for id in result.lines]
    assert texts == ["one of the lines", "the other line", "last without an end"]
    assert (
        jmem.ok(
            "add",
            "--lines",
            stdin="one of the lines\n",
        ).lines
        == result.lines[:1]
    )
    rows = [json.loads(line) for line in jmem.ok("add", "--lines", "--jsonl", stdin="an object\n").lines]
    assert [row["content"] for row in rows] == ["an object"]
    assert json.loads(jmem.ok("undo", "--json").out)["undone"][0]["ids"] == [rows[0]["id"]]


def test_add_lines_on_a_terminal_lists_them_as_other_commands_do(jmem: Jmem) -> None:
    screen = jmem.tty(
        "add", "--lines", "heron by the water", "kingfisher on a branch", "x" * 70_000, env={"NO_COLOR": "1"}
    )
    rows = [line for line in screen.out.splitlines() if line.rstrip().endswith(" now")]
    ids = {json.loads(line)["content"]: json.loads(line)["id"] for line in jmem.ok("list", "-n", "2", "--jsonl").lines}
    assert [row.split()[0] for row in rows] == [ids["heron by the water"][-6:], ids["kingfisher on a branch"][-6:]]
    assert "line 3: " in screen.out


def test_the_last_day_is_shown_as_one(jmem: Jmem) -> None:
    id = jmem.ok("add", "The bridge is closed", "--expires", "2099-12-31").out.strip()
    assert "expires     end of 2099-12-31 (in " in jmem.tty("show", id, env={"NO_COLOR": "1"}).out
    assert shown(jmem, id)["expires_at"] == "2100-01-01T00:00:00.000Z"
    assert "(end of 2020-01-01)" in jmem.ok("add", "The bridge was closed", "--expires", "2020-01-01").err
    jmem.ok("edit", id, "--expires", "2099-12-31 12:30")
    assert "expires     2099-12-31 12:30 (in " in jmem.tty("show", id, env={"NO_COLOR": "1"}).out


def test_add_lines_are_stored_as_they_arrive(jmem: Jmem) -> None:
    process = subprocess.Popen(
        [*command(), "add", "--lines", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=jmem.environ()
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    with process:
        for text in (b"a slow source, first\n", b"a slow source, second\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 20)[0], "no id before the end of the input"
            assert len(process.stdout.readline()) == 37
        process.stdin.close()
    assert process.returncode == 0


def test_add_lines_goes_on_after_a_refused_line(jmem: Jmem) -> None:
    result = jmem(
        "add", "--lines", stdin="fine before\nkey AKIAIOSFODNN7EXAMPLQ is secret\nfine after\n" + "x" * 70_000 + "\n"
    )
    assert result.code == 6
    assert len(result.lines) == 2
    assert "jmem: line 2: " in result.err
    assert "jmem: line 4: " in result.err


def test_add_lines_in_bulk(jmem: Jmem) -> None:
    jmem = jmem.apart()
    text = "".join(f"memory number {n} of a long list\n" for n in range(2500))
    began = time.monotonic()
    result = jmem.ok("add", "--lines", "-", "-v", stdin=text)
    assert len(set(result.lines)) == 2500
    assert time.monotonic() - began < 20
    assert jmem.ok("list", "--all", "--jsonl").out.count("\n") == 2500
    page = json.loads(jmem.ok("list", "-n", "1000", "--json").out)
    assert len(page["memories"]) == 1000
    rest = json.loads(jmem.ok("list", "-n", "1000", "--cursor", page["next_cursor"], "--json").out)
    assert {m["id"] for m in page["memories"]}.isdisjoint(m["id"] for m in rest["memories"])
    everything = json.loads(jmem.ok("list", "--all", "--json").out)
    assert (len(everything["memories"]), everything["next_cursor"]) == (2500, None)


def test_a_secret_is_refused_with_both_ways_on(jmem: Jmem) -> None:
    text = "the key is AKIAIOSFODNN7EXAMPLQ"
    result = jmem("add", text)
    assert result.code == 6
    assert "--mask" in result.err
    assert "--allow-secret" in result.err
    problem = json.loads(jmem("add", text, "--json").err)
    assert (problem["code"], problem["status"]) == ("secret_found", 422)
    assert "AKIAIOSFODNN7EXAMPLQ" not in added(jmem, text, "--mask")["content"]
    assert added(jmem, text, "--allow-secret")["content"] == text


@pytest.mark.parametrize(
    ("argv", "stdin", "code", "said"),
    [
        (["add", ""], None, 2, "content is empty"),
        (["add"], "", 2, "content is empty"),
        (["add", "-"], b"\xff\xfe", 2, "stdin is not valid UTF-8 (byte 0)"),
        (["add", "--lines"], b"good\nbad \xff\n", 2, "line 2 is not valid UTF-8"),
        (["add", "-"], b"nul \x00", 2, "content has a NUL character"),
        (["add", "-"], "x" * 65_537, 2, "content has 65,537 bytes"),
        (["add", "x", "-t", "y" * 65], None, 2, "tag is longer than 64 characters"),
        (["add", "x", "-m", "nothing"], None, 2, "--metadata 'nothing' is neither"),
        (["add", "x", "-m", "{bad"], None, 2, "--metadata is not JSON"),
        (["add", "x", "--client", "Not A Name"], None, 2, "begins with a letter or digit"),
        (["add", "x", "--supersedes", "zzzz"], None, None, ""),
        (["add", "--lines", "--infer"], "x\n", 2, "--lines stores lines as they are"),
        (["search", ""], None, 2, "query"),
        (["search", "x", "--since", "not a time at all"], None, 2, "since"),
        (["show", "ffffffff"], None, 5, "no memory"),
        (["show", ""], None, 5, "no memory"),
        (["show", "a/b?c"], None, 5, "no memory"),
        (["edit", "ffffffff", "x"], None, 5, "no memory"),
        (["rm", "ffffffff"], None, 5, "no memory has the id 'ffffffff'"),
        (["restore", "ffffffff"], None, 5, "no memory"),
        (["log", "ffffffff"], None, 5, "no memory"),
        (["list", "--cursor", "nonsense"], None, 2, "cursor"),
        (["--user", "nobody", "list"], None, 5, "no user is called 'nobody'"),
        (["--user", "bad\nname", "list"], None, None, ""),
    ],
)
def test_errors(argv: list[str], stdin: str | bytes | None, code: int | None, said: str, jmem: Jmem) -> None:
    result = jmem(*argv, stdin=stdin)
    assert result.code == code if code else result.code in (2, 5)
    assert result.err.startswith("jmem: ")
    assert said in result.err
    assert "Traceback" not in result.err
    if "--lines" not in argv:
        assert result.out == ""
        problem = json.loads(jmem(*argv, "--json", stdin=stdin).err)
        assert {"type", "title", "status", "code"} <= set(problem)


# ---- search and list


@pytest.fixture(scope="module")
def shelf(jmem: Jmem) -> tuple[Jmem, dict[str, str]]:
    """A few memories, by name."""
    jmem = jmem.apart()
    ids = {
        "aisle": added(jmem, "I prefer aisle seats on long flights", "-t", "travel")["id"],
        "logan": added(
            jmem, "Usually flies from Logan", "-t", "travel", "-t", "air", "--client", "claude", "--at", "2024-05-06"
        )["id"],
        "cat": added(jmem, "The cat is called Miso", "--thread", "pets", "--local")["id"],
        "cat2": added(jmem, "The cat is called Miso", "--thread", "animals")["id"],
        "old": added(jmem, "An archived recipe for soup")["id"],
    }
    jmem.ok("edit", ids["old"], "--archive")
    return jmem, ids


def found(jmem: Jmem, *args: str) -> list[str]:
    return [hit["id"] for hit in json.loads(jmem.ok(*args, "--json").out)["results"]]


def listed(jmem: Jmem, *args: str) -> set[str]:
    return {memory["id"] for memory in json.loads(jmem.ok("list", *args, "--json").out)["memories"]}


def test_search(shelf) -> None:
    jmem, ids = shelf
    answer = json.loads(jmem.ok("search", "which seat should I book", "--json").out)
    assert set(answer) >= {"query", "took_ms", "confident", "results"}
    assert answer["query"] == "which seat should I book"
    assert answer["results"][0]["id"] == ids["aisle"]
    assert set(answer["results"][0]) == FIELDS | {"score", "also"}
    assert found(jmem, "search", "flights", "-n", "1") == [ids["aisle"]]
    assert found(jmem, "search", "flights", "--client", "claude")[0] == ids["logan"]
    assert found(jmem, "search", "flights", "--tag", "air") == [ids["logan"]]
    assert found(jmem, "search", "flights", "--until", "2025-01-01") == [ids["logan"]]
    assert found(jmem, "search", "cat", "--thread", "pets") == [ids["cat"]]
    assert found(jmem, "search", "cat", "--privacy", "local") == [ids["cat"]]
    assert found(jmem, "search", "soup", "--state", "archived") == [ids["old"]]
    assert ids["old"] not in found(jmem, "search", "soup")
    assert ids["old"] in found(jmem, "search", "soup", "--state", "all")
    assert found(jmem, "search", "aisle", "--mode", "text") == [ids["aisle"]]


def test_search_folds_equal_texts(shelf) -> None:
    jmem, ids = shelf
    hit = json.loads(jmem.ok("search", "the cat", "-n", "1", "--json").out)["results"][0]
    assert {hit["id"], *hit["also"]} == {ids["cat"], ids["cat2"]}
    assert set(found(jmem, "search", "the cat", "-n", "2", "--no-fold")) == {ids["cat"], ids["cat2"]}


def test_search_in_a_pipe(shelf) -> None:
    jmem, ids = shelf
    result = jmem.ok("search", "aisle", "seats", "-n", "1")
    id, content, tags, at = result.lines[0].split("\t")
    assert (id, content, tags) == (ids["aisle"], "I prefer aisle seats on long flights", "travel")
    assert at.endswith("Z")
    assert (
        jmem.ok(
            "search",
            "-",
            stdin="aisle seats",
        ).lines[0]
        == jmem.ok("search", stdin="aisle seats").lines[0]
    )
    *_, score = jmem.ok("search", "aisle", "-n", "1", "--score").lines[0].split("\t")
    assert float(score) > 0
    assert [json.loads(line)["id"] for line in jmem.ok("search", "aisle", "-n", "1", "--jsonl").lines] == [ids["aisle"]]
    explain = json.loads(jmem.ok("search", "aisle", "-n", "1", "--explain", "--json").out)["results"][0]["explain"]
    assert explain


def test_search_says_when_it_knows_nothing(shelf) -> None:
    jmem, _ = shelf
    result = jmem.ok("search", "quantum chromodynamics lattice gauge")
    assert result.err == "jmem: none of these seems to be about it\n"
    assert jmem.ok("search", "quantum chromodynamics lattice gauge", "-q").err == ""
    nothing = jmem.ok("search", "x", "--tag", "no such tag")
    assert (nothing.out, nothing.err) == ("", "jmem: nothing found\n")


def test_list(shelf) -> None:
    jmem, ids = shelf
    assert listed(jmem) == {ids[name] for name in ("aisle", "logan", "cat", "cat2")}
    assert listed(jmem, "--tag", "travel", "--client", "claude") == {ids["logan"]}
    assert listed(jmem, "--state", "archived") == {ids["old"]}
    assert listed(jmem, "--state", "all") == set(ids.values())
    assert listed(jmem, "--privacy", "local") == {ids["cat"]}
    assert listed(jmem, "--thread", "animals") == {ids["cat2"]}
    assert listed(jmem, "--since", "2024-05-01", "--until", "2024-06-01") == {ids["logan"]}
    oldest = jmem.ok("list", "--sort", "created", "-n", "1").lines[0].split("\t")
    assert oldest[0] == ids["aisle"]
    page = jmem.ok("list", "-n", "2")
    assert len(page.lines) == 2
    assert "jmem: there are more: --all, or --cursor " in page.err
    assert {line.split("\t")[0] for line in jmem.ok("list", "--all").lines} == listed(jmem)
    assert jmem.ok("list", "--tag", "nope").err == "jmem: no memories\n"


# ---- change


def test_show(shelf) -> None:
    jmem, ids = shelf
    memory = shown(jmem, ids["logan"])
    assert set(memory) == FIELDS
    assert shown(jmem, ids["logan"][-8:]) == memory
    assert shown(jmem, ids["logan"][:-3]) == memory
    fields = dict(line.split("\t") for line in jmem.ok("show", ids["logan"]).lines)
    assert fields["content"] == "Usually flies from Logan"
    assert (fields["tags"], fields["deleted"], fields["source"]) == ("travel,air", "false", "")
    both = json.loads(jmem.ok("show", ids["cat"], ids["logan"], "--json").out)
    assert [one["id"] for one in both["memories"]] == [ids["cat"], ids["logan"]]
    assert (
        jmem.ok("show", ids["cat"], ids["logan"], "--text").out == "The cat is called Miso\nUsually flies from Logan\n"
    )


def test_an_ambiguous_id_names_the_candidates(shelf) -> None:
    jmem, ids = shelf
    result = jmem("show", ids["cat"][:4])
    assert result.code == 5
    assert f"  {ids['cat'][-6:]}  The cat is called Miso\n" in result.err
    assert f"  {ids['logan'][-6:]}  Usually flies from Logan\n" in result.err
    problem = json.loads(jmem("show", ids["cat"][:4], "--json").err)
    assert problem["code"] == "ambiguous"


def test_edit_by_words_stdin_and_options(jmem: Jmem) -> None:
    id = added(jmem, "before the edit")["id"]
    assert jmem.ok("edit", id, "after", "the edit").out.strip() == id
    assert shown(jmem, id)["content"] == "after the edit"
    jmem.ok("edit", id, "-", stdin="from stdin\n")
    jmem.ok("edit", id, "--source", "book", "--at", "2020-01-02", "--expires", "2099-01-01", "-m", "a=1", "--pause")
    memory = shown(jmem, id)
    assert (memory["content"], memory["source"], memory["state"], memory["metadata"]) == (
        "from stdin",
        "book",
        "paused",
        {"a": "1"},
    )
    jmem.ok("edit", id, "--source", "none", "--expires", "never", "--activate")
    memory = shown(jmem, id)
    assert (memory["source"], memory["expires_at"], memory["state"]) == (None, None, "active")
    assert memory["occurred_at"]
    assert jmem("edit", id, "--archive", "--pause").code == 2


def test_privacy_makes_a_new_id(jmem: Jmem) -> None:
    old = added(jmem, "first synced, then local")["id"]
    result = jmem.ok("edit", old, "--local", "--json")
    memory = json.loads(result.out)
    assert (memory["privacy"], memory["replaces"]) == ("local", old)
    assert memory["id"] != old
    assert memory["id"] in result.err


def editor(folder: Path, script: str) -> str:
    path = folder / "my editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"'{path}'"


def test_edit_in_the_editor(jmem: Jmem, tmp_path: Path) -> None:
    id = added(jmem, "text to open")["id"]
    env = {"EDITOR": editor(tmp_path, 'grep -q "text to open" "$1" && echo "text from the editor" > "$1"')}
    jmem.tty("edit", id, env=env)
    assert shown(jmem, id)["content"] == "text from the editor"
    assert "nothing changed" in jmem.tty("edit", id, env={"VISUAL": "true", "EDITOR": "false"}).out
    ended = added(jmem, "with an empty line at its end\n")["id"]
    assert "nothing changed" in jmem.tty("edit", ended, env={"VISUAL": "true", "EDITOR": "false"}).out
    failed = jmem.tty("edit", id, env={"EDITOR": "false"})
    assert failed.code == 1
    assert "false ended with code 1" in failed.out


def test_a_failed_editor_leaves_a_file_only_where_something_was_written(jmem: Jmem, tmp_path: Path) -> None:
    id = added(jmem, "text that an editor fails on")["id"]
    kept = tmp_path / "kept"
    kept.mkdir()
    jmem.tty("edit", id, env={"EDITOR": "false", "TMPDIR": str(kept)})
    assert not list(kept.iterdir())
    gone = jmem.tty("edit", id, env={"EDITOR": "rm", "TMPDIR": str(kept)})
    assert gone.code == 1
    assert "can't be read back" in gone.out
    env = {"EDITOR": editor(tmp_path, 'echo "half written" > "$1"; exit 3'), "TMPDIR": str(kept)}
    failed = jmem.tty("edit", id, env=env)
    (file,) = kept.iterdir()
    assert file.read_text() == "half written\n"
    assert str(file) in failed.out.replace("\n", "")


def test_a_list_shows_the_age_of_what_it_is_sorted_by(jmem: Jmem) -> None:
    jmem = jmem.apart()
    jmem.ok("add", "long ago", "--at", "2001-02-03")
    assert jmem.tty("list", env={"NO_COLOR": "1"}).out.rstrip().endswith(" now")
    assert jmem.tty("list", "--sort", "occurred", env={"NO_COLOR": "1"}).out.rstrip().endswith("y")
    assert jmem.tty("list", "--sort", "updated", env={"NO_COLOR": "1"}).out.rstrip().endswith(" now")


def test_explanations_are_columns_in_a_pipe(jmem: Jmem) -> None:
    jmem.ok("add", "an explained thing")
    cells = jmem.ok("search", "explained thing", "--mode", "text", "--explain", "-n", "1").lines[0].split("\t")
    assert len(cells) == 9
    assert (cells[5], cells[7:]) == ("1", ["", ""])


def test_only_a_dash_lets_edit_read_stdin(jmem: Jmem, tmp_path: Path) -> None:
    id = added(jmem, "text that a loop must not overwrite")["id"]
    lost = jmem("edit", id, stdin="the ids of others\n", env={"VISUAL": "", "EDITOR": ""})
    assert lost.code == 2
    assert f"fix: jmem edit {id} -" in lost.err
    env = {"EDITOR": editor(tmp_path, 'cat >/dev/null; echo "from the editor, in a loop" > "$1"')}
    loop = f"while read id; do {command()[0]} edit $id; echo more $id; done"
    other = added(jmem, "the second of a loop")["id"]
    done = jmem.ok("-c", loop, program=["sh"], stdin=f"{id}\n{other}\n", env={**env, "JMEM_USER": "default"})
    assert shown(jmem, id)["content"] == "from the editor, in a loop"
    assert f"more {other}" in done.out, "the editor took the loop's input"


def test_the_editor_overwrites_nothing_unseen(jmem: Jmem, tmp_path: Path) -> None:
    id = added(jmem, "seen in the editor")["id"]
    other = f'{command()[0]} edit {id} "changed meanwhile" >/dev/null'
    env = {"EDITOR": editor(tmp_path, f'{other}; echo "my own text" > "$1"'), "TMPDIR": str(tmp_path)}
    result = jmem.tty("edit", id, env=env)
    assert result.code == 6
    assert shown(jmem, id)["content"] == "changed meanwhile"
    (kept,) = tmp_path.glob("jmem-*.md")
    assert str(kept) in result.out.replace("\n", "")
    assert kept.read_text() == "my own text\n"


def test_if_version(jmem: Jmem) -> None:
    memory = added(jmem, "a guarded memory")
    jmem.ok("edit", memory["id"], "new text", "--if-version", memory["version"])
    result = jmem("edit", memory["id"], "newer text", "--if-version", memory["version"])
    assert result.code == 6


def test_tag(jmem: Jmem) -> None:
    id = added(jmem, "to be tagged", "-t", "old", "-t", "-q", "-t", "keep")["id"]
    assert jmem.ok("tag", id, "+new", "-old", "+two words").out.strip() == id
    assert jmem.ok("tag", id).lines == ["-q", "keep", "new", "two words"]
    jmem.ok("tag", id, "--remove", "-q", "--add", "+plus")
    assert json.loads(jmem.ok("tag", id, "--json").out) == {"tags": ["keep", "new", "two words", "+plus"]}
    result = jmem("tag", id, "unsigned")
    assert result.code == 2
    assert "+unsigned" in result.err


def test_rm_and_restore(jmem: Jmem) -> None:
    ids = [added(jmem, f"to be removed {n}")["id"] for n in range(3)]
    one = jmem.ok("rm", ids[0])
    assert (one.out.strip(), one.err) == (ids[0], "jmem: deleted 1; `jmem undo` brings it back\n")
    asks = jmem("rm", *ids[1:])
    assert asks.code == 6
    assert "nobody is here to answer 'Delete 2 memories?'; nothing was changed" in asks.err
    assert "fix: add --yes" in asks.err
    assert json.loads(jmem("rm", *ids[1:], "--json").err)["code"] == "needs_yes"
    gone = jmem("rm", ids[1], "ffffffff", ids[2], "--yes", "--json")
    assert json.loads(gone.out) == {"deleted": ids[1:], "missing": ["ffffffff"]}
    assert gone.code == 5
    assert set(ids) <= listed(jmem, "--deleted", "-n", "1000")
    assert set(ids).isdisjoint(listed(jmem, "-n", "1000"))
    assert jmem.ok("restore", *ids[:2]).lines == ids[:2]
    assert shown(jmem, ids[0])["deleted"] is False


def test_rm_asks_on_a_terminal(jmem: Jmem) -> None:
    ids = [added(jmem, f"asked about {n}")["id"] for n in range(2)]
    assert "[y/N]" in jmem.tty("rm", *ids, keys=b"n\r", wait_for="[y/N]").out
    assert not shown(jmem, ids[0])["deleted"]
    jmem.tty("rm", *ids, keys=b"y\r", wait_for="[y/N]")
    assert set(ids) <= listed(jmem, "--deleted")
    gone = jmem("show", ids[0])
    assert gone.code == 5
    assert f"fix: jmem restore {ids[0]}" in gone.err


def test_a_purge_names_what_an_editor_left_behind(jmem: Jmem, tmp_path: Path) -> None:
    id = added(jmem, "a text that an editor keeps")["id"]
    left = tmp_path / f"jmem-{id[-6:]}-kept.md"
    left.write_text("a text that an editor keeps")
    assert str(left) in jmem.ok("rm", id, "--purge", "--yes", env={"TMPDIR": str(tmp_path)}).err


def test_purge_prints_a_receipt(jmem: Jmem) -> None:
    id = added(jmem, "purge me entirely")["id"]
    assert jmem("rm", id, "--purge").code == 6
    result = jmem.ok("rm", id, "--purge", "--yes")
    assert len(result.lines) > 3
    assert all(line.split("\t")[0] == id and len(line.split("\t")) == 4 for line in result.lines)
    again = jmem("rm", id, "--purge", "--yes", "--json")
    assert (again.code, again.out, json.loads(again.err)["code"]) == (5, "", "not_found")
    other = added(jmem, "delete me, then purge me too")["id"]
    jmem.ok("rm", other)
    assert json.loads(jmem.ok("rm", other, "--purge", "--yes", "--json").out)["purged"][0]["id"] == other


def test_a_receipt_on_a_terminal_fits_and_says_the_time_once(jmem: Jmem) -> None:
    id = added(jmem, "purge me on a terminal")["id"]
    screen = jmem.tty("rm", id, "--purge", "--yes", env={"NO_COLOR": "1"}).out
    assert max(map(len, screen.splitlines())) <= 80
    assert len(re.findall(r"\d{4}-\d\d-\d\d.\d\d:\d\d", screen)) == 1


def test_ids_of_nothing(jmem: Jmem) -> None:
    both = jmem("rm", "ffffffff", "eeeeeeee", "--yes")
    assert (both.code, both.out, both.err.count("no memory has the id")) == (5, "", 2)
    assert "fix: jmem list" in both.err
    one = jmem("rm", "ffffffff", "--json")
    assert (one.code, one.out, json.loads(one.err)["code"]) == (5, "", "not_found")
    many = jmem("rm", "ffffffff", "eeeeeeee", "--yes", "--json")
    assert (many.code, many.out, json.loads(many.err)["missing"]) == (5, "", ["ffffffff", "eeeeeeee"])


def test_users_are_apart(jmem: Jmem) -> None:
    jmem = jmem.apart()
    mine = added(jmem, "mine alone")["id"]
    theirs = added(jmem, "bob's alone", "--user", "bob")["id"]
    assert listed(jmem) == {mine}
    assert listed(jmem, "--user", "bob") == {theirs}
    assert json.loads(jmem.ok("--user", "bob", "list", "--json").out)["memories"][0]["id"] == theirs
    assert json.loads(jmem.ok("list", "--json", env={"JMEM_USER": "bob"}).out)["memories"][0]["id"] == theirs
    assert jmem("show", theirs).code == 5


def test_the_reader_may_leave_early(jmem: Jmem) -> None:
    jmem.ok("add", "--lines", stdin="".join(f"{'long ' * 60} {n}\n" for n in range(400)))
    process = subprocess.Popen(
        [*command(), "list", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=jmem.environ()
    )
    assert process.stdout
    assert process.stderr
    with process:
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_full_disk_behind_stdout_is_an_error(jmem: Jmem) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command(), "spec"], stdout=full, stderr=subprocess.PIPE, env=jmem.environ(), stdin=subprocess.DEVNULL
        )
    assert (done.returncode, done.stderr) == (1, b"jmem: the output: No space left on device\n")


def test_lines_tell_what_was_not_taken_over(make_jmem) -> None:
    jmem = make_jmem()
    id = jmem.ok("add", "I prefer aisle seats", "--source", "notes").out.strip()
    added = jmem.ok(
        "add", "--lines", "--source", "chat", "--tag", "travel", stdin="I live in Bern\nI prefer aisle seats\n"
    )
    assert added.lines[1] == id
    assert "line 2: not taken over, since the memory was there before: source and tags" in added.err
    assert f"fix: jmem edit {id[-6:]} --source chat" in added.err
    assert "line 1" not in added.err


def test_search_takes_the_filters_of_list(make_jmem) -> None:
    jmem = make_jmem()
    jmem.ok("add", "a seat at the window", "--source", "notes")
    jmem.ok("add", "a seat at the aisle", "--source", "chat")
    assert [
        hit["content"] for hit in json.loads(jmem.ok("search", "seat", "--source", "chat", "--json").out)["results"]
    ] == ["a seat at the aisle"]

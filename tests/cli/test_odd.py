"""Arguments, variables and files that no shell script should get a traceback for."""

from __future__ import annotations

import json

import pytest

from .conftest import Jmem, Result

LATIN = "a\udcff"
"""the argument `a\\xff`, as Python hands it over"""
DIGITS = "1" * 5000


def refused(result: Result, code: int, *said: str) -> None:
    """The command failed with this exit code and a message, not with a traceback."""
    assert result.code == code, result
    assert "Traceback" not in result.err
    assert "has a bug" not in result.err
    for words in said:
        assert words in result.err


@pytest.mark.parametrize(("argv", "code", "said"), [
    (["--user", LATIN, "list"], 2, "not valid UTF-8"),
    (["clients", "set", LATIN, "--read"], 2, "a client's name"),
    (["export", "--tag", LATIN], 2, "not valid UTF-8"),
    (["clients", "set", "a b?x=1#/..", "--read"], 2, "a client's name"),
    (["search", "x", "--limit", DIGITS], 2, "--limit"),
    (["restore", "0" * 8, "--rev", DIGITS], 2, "--rev"),
    (["add", "x", "--metadata", '{"a":' * 20_000], 2, "--metadata is nested too deeply"),
    (["config", "set", "llm.model", LATIN], 2, "llm.model: not valid UTF-8"),
    (["config", "set", "idle.stop", DIGITS], 2, "idle.stop: a whole number"),
    (["config", "set", "idle.stop", "9" * 40], 2, "idle.stop: a whole number"),
])  # fmt: skip
def test_an_argument_is_refused_in_words(jmem: Jmem, argv: list[str], code: int, said: str) -> None:
    refused(jmem(*argv), code, said)


@pytest.mark.parametrize("text", [
    "a = " + "[" * 100_000 + "]" * 100_000,
    "a." * 100_000 + "b = 1",
    "port = " + DIGITS,
    "port = 0x" + DIGITS,
    "port = [" + "[" * 90 + "]" * 91,
], ids=["nested", "dotted", "digits", "hexadecimal", "list"])  # fmt: skip
def test_a_config_file_that_no_parser_likes(make_jmem, text: str) -> None:
    jmem = make_jmem()
    (jmem.home / "config.toml").write_text(text + "\n")
    refused(jmem("config", "list"), 2, "port: a port is" if text.endswith("]]") and len(text) < 1000 else "  fix: ")
    refused(jmem("list"), 3, "the daemon can't start: ")
    assert "Traceback" not in jmem("config", "set", "port", "9000").err


def test_a_config_file_that_is_a_folder(make_jmem) -> None:
    jmem = make_jmem()
    (jmem.home / "config.toml").mkdir()
    refused(jmem("config", "list"), 2, "config.toml can't be read: Is a directory")
    refused(jmem("list"), 3, "config.toml can't be read: Is a directory")


@pytest.mark.parametrize("value", [DIGITS, LATIN, "-1", "0x10"])
def test_a_port_of_the_environment(make_jmem, value: str) -> None:
    refused(make_jmem(JMEM_PORT=value)("config", "get", "port"), 2, "port: ")
    error = json.loads(make_jmem(JMEM_PORT=value)("config", "get", "port", "--json").err)
    assert error["code"] == "bad_config"


@pytest.mark.parametrize("columns", ["0", "-3", "wide", DIGITS, "1"])
def test_any_width(jmem: Jmem, columns: str) -> None:
    result = jmem.tty("list", "--help", env={"COLUMNS": columns, "TERM": "dumb"})
    assert (result.code, "List memories" in result.out.replace("\n", " ")) == (0, True)


def test_a_home_whose_name_is_not_utf8(tmp_path) -> None:
    for command in (["list"], ["status", "--json"], ["backup"], ["config", "path"]):
        refused(Jmem(tmp_path / LATIN)(*command), 1, "is not valid UTF-8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("editor", "code", "said"), [
    ("'open", 2, "a quotation mark too few"),
    ("/no/such", 1, "/no/such can't be run"),
    ("false", 1, "false ended with code 1"),
])  # fmt: skip
def test_an_editor_that_does_not_work(jmem: Jmem, editor: str, code: int, said: str) -> None:
    refused(jmem("config", "edit", env={"EDITOR": editor}), code, said)


def test_files_that_only_another_user_may_read(make_jmem) -> None:
    """A folder in the place of the file is as unreadable for root as a closed file is for others."""
    jmem = make_jmem()
    (jmem.home / "run").mkdir()
    (jmem.home / "run" / "daemon.lock").mkdir()
    refused(jmem("status"), 0)
    jmem = make_jmem()
    (jmem.home / "users.json").mkdir()
    refused(jmem("status"), 0)
    refused(jmem("list"), 3, "users.json can't be read")
    refused(jmem("doctor"), 1)
    assert "lambda" not in jmem("doctor").out


def test_export_names_what_it_can_not_write(jmem: Jmem, tmp_path) -> None:
    refused(jmem("export", "-o", str(tmp_path)), 2, f"{tmp_path} is a folder")
    refused(jmem("export", "-o", str(tmp_path / "no" / "x.jsonl")), 1, f"{tmp_path}/no/x.jsonl can't be written")

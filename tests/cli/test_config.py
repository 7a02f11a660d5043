from __future__ import annotations

import json
import stat
import tomllib

from .conftest import Jmem


def test_set_get_unset(jmem: Jmem) -> None:
    assert jmem.ok("config", "get", "idle.stop").out == "0\n"
    jmem.ok("config", "set", "idle.stop", "3600")
    assert jmem.ok("config", "get", "idle.stop").out == "3600\n"
    assert json.loads(jmem.ok("config", "get", "idle.stop", "--json").out) == {
        "key": "idle.stop",
        "value": 3600,
        "origin": "config.toml",
    }
    jmem.ok("config", "unset", "idle.stop")
    assert jmem.ok("config", "get", "idle.stop").out == "0\n"
    assert stat.S_IMODE((jmem.home / "config.toml").stat().st_mode) == 0o600


def test_a_setting_and_those_below_it_share_a_table(make_jmem) -> None:
    jmem = make_jmem()
    jmem.ok("config", "set", "embedder", "openai")
    jmem.ok("config", "set", "embedder.model", "nomic-embed-text")
    jmem.ok("config", "set", "embedder", "bundled")
    assert tomllib.loads((jmem.home / "config.toml").read_text()) == {
        "embedder": {"name": "bundled", "model": "nomic-embed-text"}
    }
    assert jmem.ok("config", "get", "embedder").out == "bundled\n"
    jmem.ok("config", "unset", "embedder")
    assert jmem.ok("config", "get", "embedder.model").out == "nomic-embed-text\n"


def test_what_else_is_in_the_file_stays(make_jmem) -> None:
    jmem = make_jmem()
    file = jmem.home / "config.toml"
    file.write_text("# mine\n[idle]\nstop = 5  # soon\n")
    jmem.ok("config", "set", "port", "9001")
    jmem.ok("config", "set", "idle.unload", "60")
    assert "# mine\n" in file.read_text()
    assert "stop = 5  # soon\n" in file.read_text()
    assert tomllib.loads(file.read_text()) == {"port": 9001, "idle": {"stop": 5, "unload": 60}}


def test_list_tells_origins_and_hides_secrets(make_jmem) -> None:
    jmem = make_jmem(JMEM_PORT="9123")
    jmem.ok("config", "set", "llm.api_key", "sk-very-secret")
    shown = {key: (value, origin) for key, value, origin in (line.split("\t") for line in jmem.ok("config").lines)}
    assert shown["port"] == ("9123", "JMEM_PORT")
    assert shown["llm.api_key"] == ("(set)", "config.toml")
    assert shown["backup.keep"] == ("7", "default")
    assert "sk-very-secret" not in jmem.ok("config", "list", "--json").out
    assert jmem.ok("config", "get", "llm.api_key").out == "sk-very-secret\n"
    assert "sk-very-secret" not in jmem.tty("config").out


def test_what_is_wrong_is_refused_and_changes_nothing(jmem: Jmem) -> None:
    for argv, said in (
        (["set", "port", "high"], "port: "),
        (["set", "port", "70000"], "port: a port is 1 to 65535"),
        (["set", "nope", "1"], "no setting is called 'nope'"),
        (["get", "nope"], "no setting is called 'nope'"),
        (["unset", "nope"], "no setting is called 'nope'"),
        (["set", "embedder", "magic"], "embedder: one of "),
        (["set", "hosted.url", "ann"], "the account's address begins with https://"),
        (["set", "hosted.url", "http://example.com"], "the account's address begins with https://"),
    ):
        result = jmem("config", *argv)
        assert result.code == 2
        assert result.err.startswith("jmem: " + said)


def test_a_broken_file_is_named_with_the_way_out(make_jmem) -> None:
    jmem = make_jmem()
    (jmem.home / "config.toml").write_text("port = \n")
    for argv in (["config"], ["config", "set", "port", "1"]):
        result = jmem(*argv)
        assert result.code == 2
        assert str(jmem.home / "config.toml") in result.err
        assert "fix: jmem config edit" in result.err
    (jmem.home / "config.toml").write_text("nope = 1\n")
    assert "fix: jmem config unset nope" in jmem("config").err
    jmem.ok("config", "unset", "nope")
    jmem.ok("config")


def test_edit_checks_what_was_written(make_jmem, tmp_path) -> None:
    jmem = make_jmem()
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "port = 1234" > "$1"\n')
    editor.chmod(0o755)
    jmem.ok("config", "edit", env={"EDITOR": str(editor)})
    assert jmem.ok("config", "get", "port").out == "1234\n"
    editor.write_text('#!/bin/sh\necho "port = 0" > "$1"\n')
    assert jmem("config", "edit", env={"EDITOR": str(editor)}).code == 2
    assert jmem.ok("config", "path").out == f"{jmem.home / 'config.toml'}\n"


def test_a_running_daemon_is_said_to_need_a_restart(jmem: Jmem) -> None:
    jmem.ok("daemon", "start")
    assert "jmem daemon restart" in jmem.ok("config", "set", "log.level", "warning").err
    assert jmem.ok("config", "unset", "log.level", "-q").err == ""


def test_an_account_s_address_is_said_to_be_for_the_next_sign_in(jmem: Jmem) -> None:
    jmem.ok("daemon", "start")
    said = jmem.ok("config", "set", "hosted.url", "https://memory.example.com/").err
    assert ("jmem login" in said, "restart" in said) == (True, False)
    assert jmem.ok("config", "get", "hosted.url").out == "https://memory.example.com\n"
    jmem.ok("config", "set", "hosted.token", "jmk_a_key")
    assert "jmem daemon restart" in jmem.ok("config", "set", "hosted.url", "https://memory.example.com").err
    jmem.ok("config", "unset", "hosted.token")
    jmem.ok("config", "set", "hosted.url", "")
    assert jmem.ok("config", "get", "hosted.url").out == "\n"

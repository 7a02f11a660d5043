"""The TOML editor keeps comments, order and layout of what is not ours."""

from __future__ import annotations

import tomllib

import pytest

from jmem.cli.connect import toml
from jmem.cli.connect.jsonc import Broken

PATH = ("mcp_servers", "jmem")
ENTRY = {"command": "/opt/my jmem", "args": ["mcp", "--client", "codex"], "env": {"JMEM_HOME": "/srv/ä"}}
TEXTS = [
    'model = "o3"\n',
    '# mine\nmodel = "o3" # the model\n\n[mcp_servers.a]\ncommand = "x" # c\n\n[tui]\nx = 1\n',
    '[mcp_servers]\na = { command = "x" }\n',
    '[mcp_servers.a]\r\ncommand = "x"\r\n',
    '[mcp_servers.a]\ncommand = "x"\n[mcp_servers.a.env]\nK = "v"\n# end\n',
]


@pytest.mark.parametrize("text", TEXTS)
def test_put_then_remove_gives_the_text_back(text: str) -> None:
    out = toml.put(text, PATH, ENTRY)
    assert out.startswith(text)
    assert toml.get(out, PATH) == ENTRY
    back = toml.remove(out, PATH)
    assert back == text


def test_an_empty_file_and_one_without_a_last_newline() -> None:
    assert toml.put("", PATH, {"command": "x"}) == '[mcp_servers.jmem]\ncommand = "x"\n'
    assert toml.put('m = "x"', PATH, {"command": "x"}) == 'm = "x"\n\n[mcp_servers.jmem]\ncommand = "x"\n'
    assert toml.remove('[mcp_servers.jmem]\ncommand = "x"\n', PATH) == ""


def test_replaces_in_place() -> None:
    text = '[mcp_servers.jmem]\ncommand = "old"\n\n# next\n[tui]\nx = 1\n'
    out = toml.put(text, PATH, ENTRY)
    assert tomllib.loads(out) == {"mcp_servers": {"jmem": ENTRY}, "tui": {"x": 1}}
    assert out.endswith("\n\n# next\n[tui]\nx = 1\n")
    assert toml.remove("a = 1\n\n" + text, PATH) == "a = 1\n\n# next\n[tui]\nx = 1\n"
    assert toml.put('mcp_servers.jmem.command = "old"\nx = 1\n', PATH, {"command": "n"}).endswith("x = 1\n")


def test_an_inline_parent_is_edited_inline() -> None:
    text = 'mcp_servers = { a = { command = "x" } } # all\n[z]\na = 1\n'
    out = toml.put(text, PATH, ENTRY)
    assert toml.get(out, PATH) == ENTRY
    assert "# all" in out
    assert tomllib.loads(toml.remove(out, PATH)) == tomllib.loads(text)


@pytest.mark.parametrize("text", ["model = ", "[a\n", 'mcp_servers = "no"\n', "a = 1\na = 2\n"])
def test_what_cannot_be_parsed_or_is_no_table_is_broken(text: str) -> None:
    with pytest.raises(Broken):
        toml.put(text, PATH, ENTRY)


def test_removing_what_is_not_there_changes_nothing() -> None:
    assert toml.remove(TEXTS[1], PATH) == TEXTS[1]


def test_a_head_inside_a_text_is_no_head() -> None:
    text = 'text = """\n[mcp_servers.jmem]\n"""\n'
    out = toml.put(text, PATH, ENTRY)
    assert out.startswith(text)
    assert tomllib.loads(toml.remove(out, PATH)) == tomllib.loads(text)

"""Help, the machine-readable spec, the reference page and completion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jmem.cli import reference, registry

from .conftest import Jmem

COMMANDS = registry.every_command()
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_program_lists_every_command(jmem: Jmem) -> None:
    for result in (jmem("--help"), jmem("-h"), jmem()):
        assert result.code == 0
        assert result.err == ""
        for name in registry.NAMES:
            assert f"\n  {name} " in result.out, name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.full_name)
def test_every_command_has_help_with_examples(command, jmem: Jmem) -> None:
    assert command.summary.endswith(".")
    assert command.examples
    for line, _ in command.examples:
        assert f"jmem {command.full_name}".removesuffix(" create").removesuffix(" status") in line or "jmem" in line
    result = jmem(*command.full_name.split(), "--help")
    assert result.code == 0
    for option in command.options:
        assert option.help.endswith(".") or option.help.endswith("…")
        assert all(name in result.out for name in option.names)
    assert "Examples" in result.out
    assert max(map(len, result.lines)) <= 100


@pytest.mark.parametrize(
    "argv", [["--help"], ["search", "--help"], ["daemon", "--help"], ["daemon", "start", "-h"], ["--version"]]
)
def test_both_paths_help_alike(argv: list[str], jmem: Jmem) -> None:
    assert jmem(*argv) == jmem.typer(*argv)


def test_help_wherever_it_stands(jmem: Jmem) -> None:
    assert jmem("search", "word", "--help").out == jmem("search", "--help").out


def test_help_on_a_terminal_is_coloured_unless_told_not_to(jmem: Jmem) -> None:
    assert "\x1b[" in jmem.tty("--help").out
    assert "\x1b[" not in jmem.tty("--help", env={"NO_COLOR": "1"}).out
    assert "\x1b[" not in jmem.tty("--help", env={"TERM": "dumb"}).out
    assert "\x1b[" in jmem("--help", env={"FORCE_COLOR": "1"}).out


def test_spec_names_every_command_and_option(jmem: Jmem) -> None:
    spec = json.loads(jmem.ok("spec").out)
    assert [command["name"] for command in spec["commands"]] == [command.full_name for command in COMMANDS]
    search = next(command for command in spec["commands"] if command["name"] == "search")
    limit = next(option for option in search["options"] if "-n" in option["names"])
    assert (limit["kind"], limit["default"], limit["low"], limit["high"]) == ("int", 10, 1, 1000)
    assert set(spec["exit_codes"]) == {"0", "1", "2", "3", "4", "5", "6", "130"}


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), "python -m jmem.cli.reference > docs/cli.md"


def test_completion_script(jmem: Jmem) -> None:
    # without this, typer asks the process tree which shell it is, and under some it finds none
    result = jmem.ok("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_JMEM_COMPLETE=complete_bash" in result.out
    assert "complete -o default -F" in result.out


def test_completion_answers(jmem: Jmem) -> None:
    env = {"_JMEM_COMPLETE": "complete_bash", "COMP_WORDS": "jmem se", "COMP_CWORD": "1"}
    assert jmem.ok(env=env).lines == ["search"]
    env = {"_JMEM_COMPLETE": "complete_bash", "COMP_WORDS": "jmem daemon re", "COMP_CWORD": "2"}
    assert jmem.ok(env=env).lines == ["restart"]
    env = {"_JMEM_COMPLETE": "complete_bash", "COMP_WORDS": "jmem search --mo", "COMP_CWORD": "2"}
    assert jmem.ok(env=env).lines == ["--mode"]


@pytest.mark.parametrize(
    ("argv", "said", "fix"),
    [
        (["serch"], "No such command 'serch'. Did you mean 'search'", "jmem --help"),
        (["search", "--nope", "x"], "No such option: --nope", "jmem search --help"),
        (["search", "-n", "x", "y"], "Invalid value for '--limit'", "jmem search --help"),
        (["show"], "Missing argument 'ID", "jmem show --help"),
        (["daemon", "nope"], "No such command 'nope'", "jmem daemon --help"),
    ],
)
def test_usage_errors(argv: list[str], said: str, fix: str, jmem: Jmem) -> None:
    result = jmem(*argv)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("jmem: " + said)
    assert f"\n  fix: {fix}\n" in result.err
    problem = json.loads(jmem(*argv, "--json").err)
    assert (problem["code"], problem["fix"]) == ("usage", fix)


def test_version(jmem: Jmem) -> None:
    from jmem import __version__

    assert jmem.ok("version").out == jmem.ok("--version").out == __version__ + "\n"
    assert json.loads(jmem.ok("version", "--json").out)["version"] == __version__

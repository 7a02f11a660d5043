"""The fast parser and typer, made from one declaration, understand the same."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmem.cli import app, fast, registry
from jmem.cli.output import Output
from jmem.cli.spec import Argument, Command, Option
from jmem.core.actor import Actor
from jmem.core.errors import Invalid, Refused

COMMANDS = registry.every_command()


@pytest.fixture(scope="module")
def typer_parse() -> Any:
    """Parses with typer: (command's name, values), or the error."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def capture(command: Command, values: dict[str, Any], environ: Any) -> int:
        seen.append((command.full_name, dict(values)))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "execute", capture)
        program = app.build(Output(os.environ), os.environ)

        def parse(argv: list[str]) -> tuple[str, dict[str, Any]] | Exception:
            seen.clear()
            patch.setattr(app, "build", lambda out, environ: program)
            try:
                app.run_app(argv, os.environ)
            except Invalid as error:
                return error
            return seen[0]

        yield parse


TABLE = [
    ["add", "one"],
    ["add", "one", "two", "-t", "a", "--tag", "b", "--tag=c"],
    ["add", "--lines", "-"],
    ["add"],
    ["add", "-"],
    ["add", "--", "--json", "-x"],
    ["add", "a", "--metadata", "k=v", "-m", '{"a":1}', "--at", "yesterday", "--local"],
    ["search", "a", "b", "-n", "5"],
    ["search", "a", "-n5"],
    ["search", "--limit=7", "a"],
    ["search", "a", "--mode", "text", "--json"],
    ["search", "a", "-qn3", "--jsonl"],
    ["search", "a", "-qv"],
    ["search", "", "--tag", ""],
    ["search", "日本", "--since", "last week"],
    ["--user", "bob", "search", "a"],
    ["search", "a", "--user", "bob"],
    ["--user", "bob", "search", "a", "--user", "eve"],
    ["-q", "list"],
    ["list", "--sort", "created", "--all"],
    ["list", "--sort", "-created"],
    ["show", "abc", "def"],
    ["tag", "abc", "+work", "-old"],
    ["tag", "abc", "-old", "--json", "+new"],
    ["tag", "abc", "-q", "-quick"],
    ["tag", "abc", "--add", "-x", "--user", "bob"],
    ["rm", "a", "b", "--purge", "--yes"],
    ["diff", "a", "1", "2"],
    ["restore", "a", "--rev", "2"],
    ["import", "f.jsonl", "--from", "jsonl"],
    ["daemon"],
    ["daemon", "--json"],
    ["daemon", "start"],
    ["daemon", "logs", "-n", "3", "-f"],
    ["config", "set", "port", "1"],
    ["backup"],
    ["index", "rebuild", "--embed"],
]


@pytest.mark.parametrize("argv", TABLE, ids=" ".join)
def test_understood_by_both_and_alike(argv: list[str], typer_parse: Any) -> None:
    parsed = fast.parse(argv)
    assert parsed is not None
    assert typer_parse(argv) == (parsed.command.full_name, parsed.values)


@pytest.mark.parametrize(
    "argv",
    [
        [], ["nothing"], ["search", "--nope", "a"], ["search", "a", "-n"], ["search", "a", "-n", "x"], ["search", "a", "-n", "0"],
        ["search", "a", "-n", "1001"], ["search", "a", "--mode", "fast"], ["show"], ["search", "a", "--json=1"], ["-x", "search", "a"],
        ["daemon", "nope"], ["diff", "a", "0"], ["diff", "a", "1", "2", "3"], ["config", "set", "port"], ["--user"],
        ["search", "a", "--user"], ["restore", "a", "--rev", "-1"], ["daemon", "--nope"], ["list", "word"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_left_to_typer(argv: list[str], typer_parse: Any) -> None:
    assert fast.parse(argv) is None
    if argv:
        error = typer_parse(argv)
        assert isinstance(error, Invalid)
        assert error.code == "usage"
        assert "--help" in str(error.fix)


WORDS = st.one_of(
    st.sampled_from(
        ["-", "--", "a", "b c", "", "-1", "+x", "-old", "é", "=", "--x", "-n", "--tag", "--json", "--user", "all"]
    ),
    st.text(max_size=6),
)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its own options and words, in any order, now and then with nonsense."""
    command = draw(st.sampled_from(COMMANDS))
    options = draw(st.lists(st.sampled_from(command.options), max_size=4))
    parts: list[list[str]] = [draw(_option(option)) for option in options]
    for argument in command.arguments:
        count = draw(st.integers(0, 2)) if argument.many else draw(st.integers(0 if not argument.required else 1, 1))
        parts += [[draw(_value(argument))] for _ in range(count)]
    parts += [[draw(WORDS)] for _ in range(draw(st.sampled_from([0, 0, 0, 1])))]
    before = draw(st.sampled_from([[], [], ["--user", "bob"], ["-q"]]))
    words = [word for part in draw(st.permutations(parts)) for word in part]
    return [*before, *command.full_name.split(), *words]


@st.composite
def _option(draw: st.DrawFn, option: Option) -> list[str]:
    name = draw(st.sampled_from(option.names))
    if option.kind == "flag":
        return [name]
    value = draw(_value(option))
    if name.startswith("--"):
        return draw(st.sampled_from([[name, value], [f"{name}={value}"]]))
    return draw(st.sampled_from([[name, value], [name + value]]))


def _value(param: Option | Argument) -> st.SearchStrategy[str]:
    if param.choices:
        return st.sampled_from([*param.choices, "nonsense"])
    if param.kind == "int":
        return st.sampled_from(["1", "2", "50", "007", "0", "-3", "x", "1_0", "٣", " 4", "99999"])
    return WORDS


@settings(max_examples=150, deadline=None)
@given(argv=command_lines())
def test_whatever_the_fast_parser_takes_typer_takes_alike(argv: list[str], typer_parse: Any) -> None:
    parsed = fast.parse(argv)
    if parsed is None:
        return
    assert typer_parse(argv) == (parsed.command.full_name, parsed.values)


@pytest.mark.parametrize("permission", ["read", "write", "delete", "every_tag", "everything"])
def test_what_mends_a_refusal_is_a_command(typer_parse: Any, permission: str) -> None:
    with pytest.raises(Refused) as refused:
        Actor("cursor", read=False, write=False, delete=False, tags=("work",)).may(permission)
    name, values = typer_parse(str(refused.value.fix).split()[1:])
    assert (name, values["name"]) == ("clients set", "cursor")

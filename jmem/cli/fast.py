"""Parses the command line without typer, which costs six times a bare Python.

It accepts what it fully understands, exactly as typer's parser would, and answers None for everything else:
an unknown command or option, a missing or malformed value. Typer then says what is wrong.
"""

from __future__ import annotations

from jmem.cli import registry
from jmem.cli.spec import COMMON, Command, Option, Param

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Values = dict[str, Any]

HELP = ("--help", "-h")
_MAX_DIGITS = 18


class Parsed:
    """A command and the values of its parameters."""

    def __init__(self, command: Command, values: Values) -> None:
        self.command = command
        self.values = values


class _Unclear(Exception):
    """Something for typer to judge."""


def parse(argv: Sequence[str]) -> Parsed | None:
    """The command and values that `argv` (without the program's name) says, or None where typer must judge."""
    if list(argv) == ["--version"]:
        argv = ["version"]
    try:
        before, rest = _options_before(list(argv))
        if not rest or rest[0] not in registry.NAMES:
            return None
        command, rest = _choose(registry.load(rest[0]), rest)
        if HELP[0] in rest or HELP[1] in rest:
            return None
        values = {param.dest: param.default for param in command.params}
        values.update(before)
        _fill(command, rest, values)
    except _Unclear:
        return None
    return Parsed(command, values)


def help_wanted(argv: Sequence[str]) -> Command | registry.Entry | str | None:
    """What `argv` asks help about and nothing else: a command, a group, the program (its name), or None."""
    if not argv or (len(argv) == 1 and argv[0] in HELP):
        return "jmem"
    if argv[-1] not in HELP or argv[0] not in registry.NAMES:
        return None
    entry = registry.load(argv[0])
    if len(argv) == 2:
        return entry if entry.group else entry.commands[argv[0]]
    return entry.commands.get(argv[1]) if len(argv) == 3 and entry.group else None


def _options_before(argv: list[str]) -> tuple[Values, list[str]]:
    """Global options in front of the command's name."""
    names = {name: option for option in COMMON for name in option.names}
    values: Values = {}
    while argv and argv[0].startswith("-") and argv[0] != "-":
        used = _take_option(argv, names, values)
        del argv[:used]
    return values, argv


def _choose(entry: registry.Entry, argv: list[str]) -> tuple[Command, list[str]]:
    """The command of a one-command module, or the one of a group that the next word names."""
    if not entry.group:
        return entry.commands[argv[0]], argv[1:]
    rest = argv[1:]
    if not rest or (rest[0].startswith("-") and rest[0] not in HELP):
        return entry.commands[entry.group.default], rest
    if rest[0] not in entry.commands:
        raise _Unclear
    return entry.commands[rest[0]], rest[1:]


def _fill(command: Command, argv: list[str], values: Values) -> None:
    names = {name: option for option in command.options for name in option.names}
    words: list[str] = []
    while argv:
        word = argv[0]
        if word == "--":
            words += argv[1:]
            break
        if len(word) > 1 and word[0] == "-" and not (command.signed and is_word(word, names)):
            del argv[: _take_option(argv, names, values)]
        else:
            words.append(word)
            del argv[0]
    for argument in command.arguments:
        if argument.many:
            if argument.required and not words:
                raise _Unclear
            values[argument.dest] = tuple(_value(argument, word) for word in words)
            words = []
        elif words:
            values[argument.dest] = _value(argument, words.pop(0))
        elif argument.required:
            raise _Unclear
    if words:
        raise _Unclear


def is_word(word: str, names: dict[str, Option]) -> bool:
    """Whether a word with a minus sign is an argument of a `signed` command, not an option."""
    return not word.startswith("--") and word not in names and word not in HELP


def _take_option(argv: list[str], names: dict[str, Option], values: Values) -> int:
    """Read the option at argv[0] into `values`; how many words it took."""
    word = argv[0]
    if word.startswith("--"):
        name, equals, given = word.partition("=")
        option = names.get(name)
        if option is None or (equals and option.kind == "flag"):
            raise _Unclear
        if option.kind == "flag":
            values[option.dest] = True
            return 1
        return _set(option, argv, given if equals else None, values)
    for place, letter in enumerate(word[1:], start=1):
        option = names.get("-" + letter)
        if option is None:
            raise _Unclear
        if option.kind == "flag":
            values[option.dest] = True
            continue
        return _set(option, argv, word[place + 1 :] or None, values)
    return 1


def _set(option: Option, argv: list[str], given: str | None, values: Values) -> int:
    used = 1
    if given is None:
        if len(argv) < 2:
            raise _Unclear
        given, used = argv[1], 2
    value = _value(option, given)
    values[option.dest] = (*values.get(option.dest, ()), value) if option.many else value
    return used


def _value(param: Param, text: str) -> Any:
    if param.choices and text not in param.choices:
        raise _Unclear
    if param.kind != "int":
        return text
    if not text.isdecimal() or not text.isascii() or len(text) > _MAX_DIGITS:
        raise _Unclear
    number = int(text)
    if (param.low is not None and number < param.low) or (param.high is not None and number > param.high):
        raise _Unclear
    return number

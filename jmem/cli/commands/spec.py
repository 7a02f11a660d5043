"""`jmem spec`."""

from __future__ import annotations

from jmem import __version__
from jmem.cli.registry import SECTIONS, load
from jmem.cli.spec import COMMON, Argument, Command, Option, Param

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

    Document = dict[str, Any]

EXIT_CODES = {
    "0": "ok, also an empty result", "1": "failure", "2": "usage or bad input", "3": "daemon unreachable",
    "4": "sign-in needed", "5": "not found or ambiguous id", "6": "refused or conflict", "130": "interrupted",
}  # fmt: skip

COMMAND = Command(
    "spec",
    "Print all commands, options and exit codes as JSON, for programs.",
    run="jmem.cli.commands.spec:run",
    examples=(("jmem spec | jq '.commands[].name'", ""),),
)


def run(args: Args) -> int:
    """Print it."""
    args.out.document(document())
    return 0


def document() -> Document:
    """Everything that the declarations say."""
    commands, groups = [], []
    for section, names in SECTIONS:
        for name in names:
            entry = load(name)
            if entry.group:
                groups.append({"name": name, "summary": entry.group.summary, "default": entry.group.default})
            commands += [{"section": section, **_command(command)} for command in entry.commands.values()]
    return {
        "program": "jmem", "version": __version__, "options": [_param(option) for option in COMMON],
        "groups": groups, "commands": commands, "exit_codes": EXIT_CODES,
    }  # fmt: skip


def _command(command: Command) -> Document:
    return {
        "name": command.full_name, "summary": command.summary, "help": " ".join(command.help.split()),
        "arguments": [_param(argument) for argument in command.arguments],
        "options": [_param(option) for option in command.options],
        "examples": [line for line, _ in command.examples],
    }  # fmt: skip


def _param(param: Param) -> Document:
    names: Document = {"names": list(param.names)} if isinstance(param, Option) else {}
    required: Document = {"required": param.required} if isinstance(param, Argument) else {}
    limits = {k: v for k, v in (("low", param.low), ("high", param.high)) if v is not None}
    default = list(param.default) if isinstance(param.default, tuple) else param.default
    choices: Document = {"choices": list(param.choices)} if param.choices else {}
    return {
        **names, "dest": param.dest, "kind": param.kind, "metavar": param.metavar, "many": param.many, **required,
        "default": default, **choices, **limits, "help": param.help,
    }  # fmt: skip

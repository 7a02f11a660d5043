"""What a command declares. Plain data: typer's application, the fast parser, help, `jmem spec` and docs are made of it.

A command is a module `jmem/cli/commands/<name>.py` with `COMMAND` (or `GROUP` and `COMMANDS`) and functions
`run(args: Args) -> int` that return an exit code and raise JmemError. No dataclasses here: they cost 9 ms at import.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Param:
    """What arguments and options share.

    `kind` is "text", "int" or "flag"; `complete` names what the shell offers for it (see completion.py).
    """

    def __init__(
        self,
        dest: str,
        help: str,
        *,
        kind: str = "text",
        many: bool = False,
        default: Any = None,
        choices: tuple[str, ...] = (),
        low: int | None = None,
        high: int | None = None,
        metavar: str = "",
        complete: str = "",
    ) -> None:
        self.dest = dest
        self.help = help
        self.kind = kind
        self.many = many
        self.default = () if many else False if kind == "flag" else default
        self.choices = choices
        self.low = low
        self.high = high
        self.complete = complete
        self.metavar = metavar or ("N" if kind == "int" else dest.upper().replace("_", "-"))


class Argument(Param):
    """A positional argument: `Argument("id", "which memory")`; `many` takes all that are left."""

    def __init__(self, dest: str, help: str, *, required: bool = True, **rest: Any) -> None:
        super().__init__(dest, help, **rest)
        self.required = required


class Option(Param):
    """An option: `Option("--tag", "-t", help="…", many=True)`; its value is `args.<dest>`."""

    def __init__(self, *names: str, help: str, dest: str = "", **rest: Any) -> None:
        super().__init__(dest or names[0].lstrip("-").replace("-", "_"), help, **rest)
        self.names = names


class Command:
    """One command.

    `run` is "module:function". `json` gives it --json; `lines` gives it --jsonl as well. With `signed`,
    words that begin with a minus sign and are no declared option are arguments (`jmem tag ID +work -old`).
    """

    def __init__(
        self,
        name: str,
        summary: str,
        *,
        run: str,
        help: str = "",
        group: str = "",
        params: tuple[Param, ...] = (),
        examples: tuple[tuple[str, str], ...] = (),
        json: bool = True,
        lines: bool = False,
        signed: bool = False,
    ) -> None:
        self.name = name
        self.group = group
        self.summary = summary
        self.help = help
        self.run = run
        self.examples = examples
        self.signed = signed
        self.arguments: list[Argument] = [p for p in params if isinstance(p, Argument)]
        own = [p for p in params if isinstance(p, Option)]
        self.options: list[Option] = own + ([JSON] if json else []) + ([JSONL] if lines else []) + list(COMMON)

    @property
    def full_name(self) -> str:
        """`daemon start` for a command of a group, else its name."""
        return f"{self.group} {self.name}" if self.group else self.name

    @property
    def params(self) -> list[Param]:
        """Arguments, then options."""
        return [*self.arguments, *self.options]


class Group:
    """Commands under one word; `default` is the command that runs when none is named."""

    def __init__(self, name: str, summary: str, *, default: str) -> None:
        self.name = name
        self.summary = summary
        self.default = default


JSON = Option("--json", help="Print one JSON document.", kind="flag")
JSONL = Option("--jsonl", help="Print one JSON object a line.", kind="flag")
USER = Option("--user", help="Whose memory; made by its first write.", metavar="NAME")
QUIET = Option("--quiet", "-q", help="Say less on stderr.", kind="flag")
VERBOSE = Option("--verbose", "-v", help="Say more on stderr.", kind="flag")
COMMON = (USER, QUIET, VERBOSE)
"""Options of every command, taken before the command's name too."""

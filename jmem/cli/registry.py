"""Which module holds which command. A module is imported only when its command is asked for."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from jmem.cli.args import Args
    from jmem.cli.spec import Command, Group

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Memories",
        ("add", "search", "list", "show", "edit", "tag", "rm", "restore", "duplicates", "conflicts", "pick", "tui"),
    ),
    ("History", ("log", "why", "diff", "undo")),
    ("Programs that use it", ("connect", "disconnect", "clients", "review", "mcp")),
    ("Your account", ("login", "logout", "whoami", "account", "sync")),
    ("Your data", ("export", "import", "backup", "index")),
    ("jmem itself", ("status", "doctor", "daemon", "config", "spec", "version")),
)
NAMES: tuple[str, ...] = tuple(name for _, names in SECTIONS for name in names)
_MODULES = {"import": "import_"}


class Entry:
    """What a module of commands declares: one command, or a group of them."""

    def __init__(self, commands: dict[str, Command], group: Group | None) -> None:
        self.commands = commands
        self.group = group

    @property
    def summary(self) -> str:
        """The line for the list of commands."""
        return self.group.summary if self.group else next(iter(self.commands.values())).summary


def load(name: str) -> Entry:
    """The declaration of a command or group of NAMES."""
    path = "jmem.cli.commands." + _MODULES.get(name, name)
    __import__(path)
    module = sys.modules[path]
    group: Group | None = getattr(module, "GROUP", None)
    commands: tuple[Command, ...] = module.COMMANDS if group else (module.COMMAND,)
    return Entry({command.name: command for command in commands}, group)


def function(command: Command) -> Callable[[Args], int]:
    """What a command runs."""
    path, _, name = command.run.partition(":")
    __import__(path)
    return getattr(sys.modules[path], name)  # type: ignore[no-any-return]


def every_command() -> list[Command]:
    """All commands, in the order of the help."""
    return [command for name in NAMES for command in load(name).commands.values()]

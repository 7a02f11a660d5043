"""The reference page: `python -m jmem.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

from jmem.cli import helptext
from jmem.cli.commands.spec import EXIT_CODES
from jmem.cli.registry import SECTIONS, load
from jmem.cli.spec import COMMON, Command, Option
from jmem.core.settings import SETTINGS

_INTRO = """\
# The command line

Made from the commands' own declarations by `python -m jmem.cli.reference > docs/cli.md`.

`stdout` is data and `stderr` is narration. On a terminal, lists are aligned and coloured for people; in a pipe they are
lines with columns separated by tabs, line breaks inside a text shown as `\\n`. `--json` prints one JSON document,
`--jsonl` an object a line; both are stable, and errors are then problem documents on `stderr`. Control characters and
terminal escapes inside memories are shown, never sent to the terminal.

Wherever an ID is asked for, any part of it that no other memory's id has will do, from either end, four characters or
more. Times are dates (`2026-11-22`), moments (`2026-11-22T20:13`) or words (`yesterday`, `last week`).

Environment: `JMEM_HOME` (where everything is kept), `JMEM_USER` (as `--user`), `NO_COLOR`, `FORCE_COLOR`, `COLUMNS`,
`VISUAL` and `EDITOR`. Settings have their own: see [settings](#settings).
"""

_COMPLETION = """
`jmem --install-completion` teaches your shell (bash, zsh, fish) to complete commands and options, ids of recent memories
(with their text beside them, where the shell shows it), tags, the names of programs and of settings; `--show-completion`
prints the script instead. Completion never starts the daemon."""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRO
    yield "## Options of every command\n"
    yield from _options(COMMON)
    yield _COMPLETION
    yield "\n## Exit codes\n"
    yield "| code | meaning |\n| --- | --- |"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} |"
    for section, names in SECTIONS:
        yield f"\n## {section}"
        for name in names:
            entry = load(name)
            if entry.group:
                yield f"\n### jmem {name}\n\n{entry.group.summary} Without a command: `{entry.group.default}`."
            for command in entry.commands.values():
                yield from _command(command)
    yield "\n## Settings\n"
    yield "`jmem config set KEY VALUE` keeps one in `config.toml`; the environment variable, where there is one, weighs more.\n"
    yield "| setting | default | environment | meaning |\n| --- | --- | --- | --- |"
    for setting in SETTINGS:
        default = f"`{str(setting.default).lower() if isinstance(setting.default, bool) else setting.default}`"
        env = f"`{setting.env}`" if setting.env else ""
        yield f"| `{setting.key}` | {default if setting.default != '' else ''} | {env} | {setting.help} |"
    yield ""


def _command(command: Command) -> Iterator[str]:
    level = "####" if command.group else "###"
    yield f"\n{level} jmem {command.full_name}\n"
    yield command.summary
    for paragraph in command.help.split("\n\n") if command.help else ():
        yield "\n" + " ".join(paragraph.split())
    yield f"\n    {helptext.usage(command)}\n"
    for argument in command.arguments:
        yield f"- `{argument.metavar}`: {argument.help}"
    yield from _options([option for option in command.options if option not in COMMON])
    if command.examples:
        yield "\n```sh"
        for line, what in command.examples:
            yield line + (f"   # {what}" if what else "")
        yield "```"


def _options(options: Iterator[Option] | list[Option] | tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        default = f" Default: `{option.default}`." if option.kind != "flag" and option.default not in (None, ()) else ""
        yield f"- `{helptext.option_names(option)}`: {option.help}{default}"


if __name__ == "__main__":
    import os

    from jmem.cli.output import Output

    out = Output(os.environ)
    out.write(page())
    out.flush()

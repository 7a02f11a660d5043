"""Help, written from the declarations: the same for the fast path and for typer."""

from __future__ import annotations

from jmem.cli.registry import SECTIONS, Entry, load
from jmem.cli.spec import COMMON, Command, Option
from jmem.cli.text import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Paint = Callable[[str, str], str]

WIDTH = 100
_INDENT = "  "


def plain(style: str, text: str) -> str:
    """Text without a style."""
    return text


def about(subject: Command | Entry | str, paint: Paint = plain, columns: int = 80) -> str:
    """Help of a command, of a group, or of the program (any text)."""
    if isinstance(subject, Command):
        text = command(subject, paint, columns)
    elif isinstance(subject, Entry):
        text = group(subject, paint, columns)
    else:
        text = program(paint, columns)
    return text.rstrip("\n")


def program(paint: Paint = plain, columns: int = 80) -> str:
    """`jmem --help`."""
    lines = [
        "Your memory, for every AI assistant you use.",
        "",
        paint("title", "Usage") + "  jmem [--user NAME] COMMAND …",
        "",
    ]
    names = [name for _, section in SECTIONS for name in section]
    for title, section in SECTIONS:
        lines.append(paint("title", title))
        lines += _columns([(name, load(name).summary) for name in section], paint, columns, widest=max(map(len, names)))
        lines.append("")
    lines.append(paint("title", "Options"))
    lines += _columns([*map(_option_row, COMMON), *_PROGRAM_OPTIONS], paint, columns)
    lines += ["", "jmem COMMAND --help tells more, with examples.", ""]
    return "\n".join(lines)


_PROGRAM_OPTIONS = (
    ("--version", "Print the version."),
    ("--install-completion", "Install completion for this shell."),
    ("--show-completion", "Print the completion script of this shell."),
    ("--help, -h", "Show this."),
)


def group(entry: Entry, paint: Paint = plain, columns: int = 80) -> str:
    """Help of a group such as `jmem daemon`."""
    assert entry.group
    rows = [(command.name, command.summary) for command in entry.commands.values()]
    lines = [
        entry.group.summary, "", paint("title", "Usage") + f"  jmem {entry.group.name} [COMMAND] …", "",
        paint("title", "Commands"), *_columns(rows, paint, columns), "",
        f"Without a command: {entry.group.default}.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def command(command: Command, paint: Paint = plain, columns: int = 80) -> str:
    """Help of one command."""
    columns = min(columns, WIDTH)
    lines = [command.summary]
    for paragraph in command.help.split("\n\n") if command.help else ():
        lines += ["", *wrap(" ".join(paragraph.split()), columns)]
    lines += ["", paint("title", "Usage") + "  " + usage(command), ""]
    if command.arguments:
        lines += [
            paint("title", "Arguments"),
            *_columns([(a.metavar, a.help) for a in command.arguments], paint, columns),
            "",
        ]
    rows = [*map(_option_row, command.options), ("--help, -h", "Show this.")]
    lines += [paint("title", "Options"), *_columns(rows, paint, columns), ""]
    if command.examples:
        lines.append(paint("title", "Examples"))
        lines += [_INDENT + line + (paint("dim", f"   # {what}") if what else "") for line, what in command.examples]
        lines.append("")
    return "\n".join(lines)


def usage(command: Command) -> str:
    """`jmem show [OPTIONS] ID...`."""
    words = ["jmem", command.full_name, "[OPTIONS]"]
    for argument in command.arguments:
        name = argument.metavar + ("..." if argument.many else "")
        words.append(name if argument.required else f"[{name}]")
    return " ".join(words)


def option_names(option: Option) -> str:
    """`--limit, -n N`."""
    return ", ".join(option.names) + ("" if option.kind == "flag" else " " + option.metavar)


def _option_row(option: Option) -> tuple[str, str]:
    default = f" [{option.default}]" if option.kind != "flag" and option.default not in (None, ()) else ""
    return option_names(option), option.help + default


def _columns(
    rows: Sequence[tuple[str, str]] | Iterable[tuple[str, str]], paint: Paint, columns: int, widest: int = 0
) -> list[str]:
    """Two aligned columns; the second is wrapped."""
    rows = list(rows)
    first = widest or min(max((len(name) for name, _ in rows), default=0), 28)
    start = len(_INDENT) + first + 2
    lines = []
    for name, what in rows:
        wrapped = wrap(what, max(min(columns, WIDTH) - start, 24))
        head = _INDENT + paint("id", name)
        if len(name) > first:
            lines.append(head)
        else:
            lines.append(head + " " * (first - len(name) + 2) + wrapped.pop(0))
        lines += [" " * start + line for line in wrapped]
    return lines

"""The typer application, made from the declarations: help, usage errors and completion.

The fast parser takes what it understands before this module is ever imported (see fast.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from jmem import __version__
from jmem.cli import helptext, registry
from jmem.cli.completion import offers
from jmem.cli.fast import HELP, is_word
from jmem.cli.main import execute
from jmem.cli.output import OK, Output
from jmem.cli.spec import COMMON, Argument, Command, Option, Param
from jmem.core.errors import Invalid

_CONTEXT = {"help_option_names": list(HELP)}


class _HelpWanted(Exception):
    """Carries a help text out of typer, since only output.py writes."""


def run_app(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Parse with typer and run; the exit code. Raises JmemError."""
    out = Output(environ)
    try:
        result = build(out, environ)(args=list(argv), prog_name="jmem", standalone_mode=False)
    except _HelpWanted as wanted:
        out.line(str(wanted))
        out.flush()
        return OK
    except typer.TyperException as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "jmem"
        raise Invalid(text.rstrip(".").replace("\n", " "), code="usage", fix=f"{where} --help") from None
    return int(result or 0)


def build(out: Output, environ: Mapping[str, str]) -> typer.Typer:
    """The application with every command."""
    app = _application(_program_group(out), "")

    def root(context: typer.Context, **values: Any) -> None:
        if values.pop("version"):
            raise _HelpWanted(__version__)
        context.obj = {name: value for name, value in values.items() if value}

    version: Any = typer.Option("--version", help="Print the version.", is_eager=True)
    _sign(
        root, [*(_parameter(param, environ) for param in COMMON), _keyword("version", False, Annotated[bool, version])]
    )
    app.callback(invoke_without_command=True)(root)
    for name in registry.NAMES:
        entry = registry.load(name)
        target = app
        if entry.group:
            target = _application(_group(entry, out), entry.group.summary)
            app.add_typer(target, name=name)
        for command in entry.commands.values():
            made = target.command(
                command.name, cls=_command(command, out), help=command.summary, context_settings=_CONTEXT
            )
            made(_callback(command, environ))
    return app


def _application(group: type[TyperGroup], help: str) -> typer.Typer:
    return typer.Typer(
        cls=group, help=help, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=_CONTEXT
    )


def _program_group(out: Output) -> type[TyperGroup]:
    class Program(TyperGroup):
        def get_help(self, ctx: Any) -> str:
            raise _HelpWanted(helptext.about("jmem", out.paint, out.columns))

        def invoke(self, ctx: Any) -> Any:
            if not ctx.args and not ctx._protected_args and not ctx.params.get("version"):
                self.get_help(ctx)
            return super().invoke(ctx)

    return Program


def _group(entry: registry.Entry, out: Output) -> type[TyperGroup]:
    assert entry.group
    default = entry.group.default

    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if not ctx.resilient_parsing and (not args or (args[0].startswith("-") and args[0] not in HELP)):
                args.insert(0, default)
            return super().parse_args(ctx, args)

        def get_help(self, ctx: Any) -> str:
            raise _HelpWanted(helptext.about(entry, out.paint, out.columns))

    return Group


def _command(command: Command, out: Output) -> type[TyperCommand]:
    class Made(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, arrange(command, args) if command.signed else args)

        def get_help(self, ctx: Any) -> str:
            raise _HelpWanted(helptext.about(command, out.paint, out.columns))

    return Made


def arrange(command: Command, argv: Sequence[str]) -> list[str]:
    """A `signed` command's words in an order that typer understands: options, `--`, arguments."""
    names = {name: option for option in command.options for name in option.names}
    options: list[str] = []
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if len(word) < 2 or word[0] != "-" or is_word(word, names):
            words.append(word)
            continue
        options.append(word)
        option = names.get(word)
        if option and option.kind != "flag" and rest:
            options.append(rest.pop(0))
    return [*options, "--", *words]


def _callback(command: Command, environ: Mapping[str, str]) -> Callable[..., int]:
    def callback(context: typer.Context, **given: Any) -> int:
        values = {param.dest: _value(param, given[param.dest]) for param in command.params}
        for name, value in (context.obj or {}).items():
            if values[name] in (None, False):  # not said again after the command
                values[name] = value
        return execute(command, values, environ)

    return _sign(callback, [_parameter(param, environ) for param in command.params])


def _value(param: Param, value: Any) -> Any:
    return tuple(value or ()) if param.many else value


def _sign(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    """Give a function the signature that typer reads: a context and these parameters."""
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    function.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    return function


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameter(param: Param, environ: Mapping[str, str]) -> inspect.Parameter:
    """One parameter of a callback, with the annotation that typer reads."""
    kind: Any = {"flag": bool, "int": int, "text": str}[param.kind]
    if param.choices:
        kind = Literal[param.choices]
    if param.many:
        kind = list[kind]
    limits: dict[str, Any] = {"min": param.low, "max": param.high} if param.kind == "int" else {}
    offered = offers(param.complete, environ) if param.complete else None
    info: Any
    if isinstance(param, Option):
        metavar = None if param.kind == "flag" else param.metavar
        info = typer.Option(*param.names, help=param.help, metavar=metavar, autocompletion=offered, **limits)
    else:
        info = typer.Argument(help=param.help, metavar=param.metavar, autocompletion=offered, **limits)
    if isinstance(param, Argument) and param.required:
        return _keyword(param.dest, inspect.Parameter.empty, Annotated[kind, info])
    default = None if param.default == () else param.default
    return _keyword(param.dest, default, Annotated[kind | None if default is None else kind, info])

"""Where the process begins: parse, run, report, leave."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from jmem.cli.registry import Entry
    from jmem.cli.spec import Command


def main() -> NoReturn:
    """The `jmem` program."""
    try:
        code = run(sys.argv[1:], os.environ)
    except KeyboardInterrupt:  # before or after the command itself
        code = 130
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    os._exit(code)  # nothing is left to clean up, and taking the interpreter down costs 2 ms


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line; its exit code."""
    from jmem.cli.output import Output, failure

    wants_json = "--json" in argv or "--jsonl" in argv
    try:
        return _run(argv, environ)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 (the process's edge: every failure becomes a message and a code)
        return failure(error, Output(environ, json=wants_json))


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    if "_JMEM_COMPLETE" not in environ:
        if _says_nothing(argv) and environ.get("TERM") != "dumb" and os.isatty(0) and os.isatty(1):
            argv = [*argv, "tui"]
        from jmem.cli import fast

        parsed = fast.parse(argv)
        if parsed:
            return execute(parsed.command, parsed.values, environ)
        subject = fast.help_wanted(argv)
        if subject is not None:
            return show_help(subject, environ)
    from jmem.cli.app import run_app

    return run_app(argv, environ)


def _says_nothing(argv: Sequence[str]) -> bool:
    """Whether no command is named: nothing at all, or only whose memory it is."""
    return not argv or (len(argv) == 2 and argv[0] == "--user") or (len(argv) == 1 and argv[0].startswith("--user="))


def show_help(subject: Command | Entry | str, environ: Mapping[str, str]) -> int:
    """Print the help of a command, a group, or the program."""
    from jmem.cli import helptext
    from jmem.cli.output import OK, Output

    out = Output(environ)
    out.line(helptext.about(subject, out.paint, out.columns))
    out.flush()
    return OK


def execute(command: Command, values: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    """Run a parsed command; its exit code."""
    from jmem.cli.args import Args
    from jmem.cli.output import Output
    from jmem.cli.registry import function

    out = Output(
        environ,
        json=bool(values.get("json")),
        lines=bool(values.get("jsonl")),
        quiet=bool(values.get("quiet")),
        verbose=bool(values.get("verbose")),
    )
    code = function(command)(Args(values, environ, out))
    out.flush()
    return code


if __name__ == "__main__":
    main()

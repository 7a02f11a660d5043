"""The only writer of stdout, and the owner of the exit codes. stdout is data; stderr is narration."""

from __future__ import annotations

import os
import sys

from jmem import wire
from jmem.cli.text import block, cut, one_line, short_ids, width, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

    from jmem.core.errors import JmemError

OK, FAILED, USAGE, UNREACHABLE, SIGN_IN, NOT_FOUND, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130
"""The exit codes; an error's own `exit_code` is one of them."""

_STYLES = {
    "id": "36", "tag": "32", "dim": "2", "bold": "1", "title": "1;36", "good": "32", "bad": "31", "warn": "33",
    "added": "32", "removed": "31", "added word": "1;32", "removed word": "1;31", "match": "1;33",
}  # fmt: skip

# JSON leaves these raw; a terminal must not see them (C1 controls, line separators, direction marks).
_JSON_ESCAPES = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}  # fmt: skip


class Output:
    """How one command speaks: `human` on a terminal, tab-separated text in a pipe, or JSON."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        json: bool = False,
        lines: bool = False,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        self.stdout_tty = _is_tty(sys.stdout)
        self.stderr_tty = _is_tty(sys.stderr)
        self.json = json or lines
        self.lines = lines
        self.human = self.stdout_tty and not self.json
        self.quiet = quiet
        self.verbose = verbose
        self._environ = environ
        self.color = self._colors(self.stdout_tty)
        if self.human:
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]

    def _colors(self, tty: bool) -> bool:
        if self._environ.get("NO_COLOR"):
            return False
        if self._environ.get("FORCE_COLOR"):
            return True
        return tty and self._environ.get("TERM") not in ("dumb", None)

    @property
    def columns(self) -> int:
        """The width of the terminal: $COLUMNS, else what the terminal says, else 80."""
        given = self._environ.get("COLUMNS", "")
        if given.isdecimal() and len(given) < 6 and int(given) > 0:
            return int(given)
        for descriptor in (1, 2, 0):
            try:
                return os.get_terminal_size(descriptor).columns or 80
            except OSError:
                continue
        return 80

    # ---- data

    def line(self, text: str = "") -> None:
        """One line of data. The caller has made foreign text harmless (`text.one_line`, `text.block`)."""
        self.write(text + "\n")

    def row(self, *cells: object) -> None:
        """One line of tab-separated cells, each on one line with control characters shown."""
        self.write("\t".join("" if cell is None else one_line(str(cell)) for cell in cells) + "\n")

    def document(self, value: Any) -> None:
        """One JSON document: indented on a terminal, on one line in a pipe."""
        self.write(
            wire.dumps(value, indent=2 if self.stdout_tty and not self.lines else None).translate(_JSON_ESCAPES) + "\n"
        )

    def write(self, text: str) -> None:
        """Text as it is."""
        stream = sys.stdout
        if stream is None:
            return
        if self.human:
            stream.write(text)
        else:
            stream.buffer.write(text.encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        """Hand everything to the reader; raises BrokenPipeError when it is gone."""
        if sys.stdout is not None:
            sys.stdout.flush()

    def paint(self, style: str, text: str) -> str:
        """`text` in a style, where stdout shows colours."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.color and text else text

    # ---- narration

    def note(self, text: str) -> None:
        """Something worth knowing, unless --quiet."""
        if not self.quiet:
            self.write_error(self._fitted("jmem: " + block(text)) + "\n")

    def detail(self, text: str) -> None:
        """Something for --verbose."""
        if self.verbose:
            self.note(text)

    def warn(self, text: str) -> None:
        """Something that went wrong without ending the command."""
        self.write_error(self._paint_error("warn", "jmem: ") + self._fitted("jmem: " + block(text))[6:] + "\n")

    def error(self, error: JmemError) -> None:
        """A failure with its remedy; with --json its problem document."""
        if self.json:
            self.write_error(wire.dumps(error.problem()).translate(_JSON_ESCAPES) + "\n")
            return
        self.write_error(self._paint_error("bad", "jmem: ") + self._fitted("jmem: " + block(error.message))[6:] + "\n")
        for line in _candidates(error.detail.get("candidates") or ()):
            self.write_error("  " + cut(line, self.columns - 2 if self.stderr_tty else 200) + "\n")
        if error.fix:
            self.write_error(self._fitted("  fix: " + block(error.fix)) + "\n")

    def _fitted(self, text: str) -> str:
        """Narration broken between words where the terminal would break it within one."""
        columns = self.columns if self.stderr_tty else 0
        if not columns or width(text) <= columns or "\n" in text or max(map(width, text.split(" "))) > columns:
            return text
        return "\n".join(wrap(text, columns))

    def write_error(self, text: str) -> None:
        """Raw text on stderr."""
        if sys.stderr is not None:
            try:
                sys.stderr.write(text)
                sys.stderr.flush()
            except OSError:
                pass

    def _paint_error(self, style: str, text: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colors(self.stderr_tty) else text


def failure(error: Exception, out: Output) -> int:
    """Say what went wrong; the exit code."""
    if isinstance(error, BrokenPipeError):  # the reader (head, less) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    from jmem.core.errors import JmemError

    if isinstance(error, OSError):
        where = os.fsdecode(error.filename) if error.filename else "the output"
        error = JmemError(f"{where}: {error.strerror or error}", code="file")
    if not isinstance(error, JmemError):
        import traceback

        out.write_error("".join(traceback.format_exception(error)))
        error = JmemError(f"jmem has a bug: {type(error).__name__}: {error}", fix="jmem doctor")
    out.error(error)
    return error.exit_code


def _candidates(candidates: Sequence[Any]) -> list[str]:
    """A line a memory that was meant: an ending of its id that no other of them has, and how its text begins."""
    known = [one for one in candidates if isinstance(one, dict) and "id" in one]
    short = short_ids(str(one["id"]) for one in known)
    return [
        one_line(f"{short[str(one['id'])]}  " + " ".join(str(one.get("preview") or one.get("content") or "").split()))
        for one in known
    ]


def _is_tty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False

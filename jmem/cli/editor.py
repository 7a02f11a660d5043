"""The user's own editor."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile

from jmem.cli.stdin import decode, is_terminal
from jmem.core.errors import Invalid, JmemError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO


def command(environ: Mapping[str, str]) -> list[str]:
    """$VISUAL, else $EDITOR, else the first of the usual ones that is installed; raises Invalid."""
    given = (environ.get("VISUAL") or environ.get("EDITOR") or "").strip()
    if given:
        try:
            return shlex.split(given)
        except ValueError:
            raise Invalid(
                f"the editor {given!r} has a quotation mark too few", code="usage", fix="set EDITOR"
            ) from None
    for name in ("sensible-editor", "nano", "vim", "vi"):
        if shutil.which(name):
            return [name]
    raise Invalid("there is no editor", code="usage", fix="set EDITOR, or give the text on the command line")


@contextlib.contextmanager
def _keyboard() -> Iterator[IO[bytes] | None]:
    """What the editor reads: stdin where a person types there, else the terminal, never what a pipe holds for others."""
    if is_terminal():
        yield None
        return
    try:
        file = open("/dev/tty", "rb")  # noqa: SIM115 (closed below)
    except OSError:
        file = open(os.devnull, "rb")  # noqa: SIM115
    with file:
        yield file


def open_file(environ: Mapping[str, str], path: str) -> None:
    """Let the user edit a file; raises JmemError when the editor fails."""
    words = command(environ)
    try:
        with _keyboard() as keyboard:
            code = subprocess.call([*words, path], stdin=keyboard)
    except OSError as error:
        raise JmemError(f"{words[0]} can't be run: {error.strerror}", code="editor", fix="set EDITOR") from None
    if code:
        raise JmemError(f"{words[0]} ended with code {code}", code="editor")


def edit_text(environ: Mapping[str, str], text: str, name: str) -> tuple[str, str]:
    """Let the user edit `text` in a private file; the file, which stays, and the text as it is then.

    Raises JmemError when the editor fails. A file in which nothing was written is deleted then, else `fix` names it.
    """
    try:
        descriptor, path = tempfile.mkstemp(prefix=name, suffix=".md")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text + "\n")
    except OSError as error:
        raise JmemError(f"there is no room for the text to edit: {error.strerror}", code="editor") from None
    try:
        open_file(environ, path)
        return path, decode(_read(path), path).removesuffix("\n")  # the one that every editor ends a file with
    except JmemError as error:
        if _left(path, text):
            error.fix = f"your text is in {path}"
        raise


def kept_files(id: str) -> list[str]:
    """Files that an editor left behind with a text of this memory, which jmem does not delete."""
    folder, begins = tempfile.gettempdir(), f"jmem-{id[-6:]}-"
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(begins))
    except OSError:
        return []


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise JmemError(f"the text can't be read back: {error.strerror}", code="editor") from None


def _left(path: str, text: str) -> bool:
    """Whether the file holds what is nowhere else; one that does not is deleted."""
    with contextlib.suppress(JmemError):
        if _read(path) != (text + "\n").encode():
            return True
    with contextlib.suppress(OSError):
        os.unlink(path)
    return False

"""The user's own editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile

from jmem.cli.stdin import decode
from jmem.core.errors import Invalid, JmemError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def command(environ: Mapping[str, str]) -> list[str]:
    """$VISUAL, else $EDITOR, else the first of the usual ones that is installed; raises Invalid."""
    given = environ.get("VISUAL") or environ.get("EDITOR")
    if given:
        return shlex.split(given)
    for name in ("sensible-editor", "nano", "vim", "vi"):
        if shutil.which(name):
            return [name]
    raise Invalid("there is no editor", code="usage", fix="set EDITOR, or give the text on the command line")


def open_file(environ: Mapping[str, str], path: str) -> None:
    """Let the user edit a file; raises JmemError when the editor fails."""
    words = command(environ)
    try:
        code = subprocess.call([*words, path])
    except OSError as error:
        raise JmemError(f"{words[0]} can't be run: {error.strerror}", code="editor", fix="set EDITOR") from None
    if code:
        raise JmemError(f"{words[0]} ended with code {code}", code="editor")


def edit_text(environ: Mapping[str, str], text: str, name: str) -> tuple[str, str]:
    """Let the user edit `text` in a private file; the file, which stays, and the text as it is then."""
    descriptor, path = tempfile.mkstemp(prefix=name, suffix=".md")
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text + "\n")
    open_file(environ, path)
    with open(path, "rb") as file:
        return path, decode(file.read(), path).rstrip("\n")

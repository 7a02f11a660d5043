"""The person's own editor, in the place of the interface for as long as it is open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from jmem.cli import editor
from jmem.core.errors import JmemError

if TYPE_CHECKING:
    from jmem.tui.app import JmemApp


def edited(app: JmemApp, text: str, name: str) -> str | None:
    """The text as it is when the editor is closed, None where it could not be used.

    A file that could not be read back stays, and the person is told where it is.
    """
    edited: tuple[str, str] | JmemError
    try:
        editor.command(os.environ)
        with app.suspend():
            try:
                edited = editor.edit_text(os.environ, text, name)
            except JmemError as error:  # here: the terminal is not given back when something leaves `suspend`
                edited = error
    except SuspendNotSupported:
        edited = JmemError("The interface can't make room for an editor on this terminal")
    except JmemError as error:
        edited = error
    if isinstance(edited, JmemError):
        app.notify(f"{edited.message}\n{edited.fix or ''}".strip(), severity="error", timeout=8, markup=False)
        return None
    path, after = edited
    os.unlink(path)  # noqa: PTH108
    return after

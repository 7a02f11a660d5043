"""Opens the interface on a terminal."""

from __future__ import annotations

import gc
import locale
import os
from collections.abc import Mapping

from jmem.client import Client
from jmem.core import places

CLIENT = "tui"
"""The name that the interface writes by."""


def run(environ: Mapping[str, str], user: str) -> int:
    """Until the person leaves; the exit code."""
    # Textual reads it when it is imported: 60 frames a second are more than a list of text, or a slow line, needs
    os.environ.setdefault("TEXTUAL_FPS", "30")
    gc.disable()  # until the first screen stands: nothing is garbage before
    from jmem.tui import colourless
    from jmem.tui.app import JmemApp
    from jmem.tui.prefs import load

    home = places.home(environ)
    client = Client(home, user=user, client=CLIENT)
    app = JmemApp(client, load(home), user=user, plain=not takes_utf8(environ), colours=not colourless.wanted(environ))
    app.run()
    return app.return_code or 0


def takes_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the terminal takes UTF-8, as its locale says; one that is not named is taken for modern.

    Python's own answer is no help: in the C locale it turns to UTF-8 by itself, and sets LC_CTYPE too.
    """
    lang = environ.get("LANG", "")
    ctype = environ.get("LC_CTYPE", "")
    if ctype in ("C.UTF-8", "C.utf8", "UTF-8") and lang in ("C", "POSIX"):
        ctype = ""
    name = environ.get("LC_ALL") or ctype or lang
    _, dot, codeset = name.partition(".")
    if dot:
        return codeset.lower().replace("-", "").startswith("utf8")
    return name not in ("C", "POSIX") and (not name or locale.getpreferredencoding(False).lower().startswith("utf"))

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
    app = JmemApp(client, load(home), user=user, plain=not _utf8(), colours=not colourless.wanted(environ))
    app.run()
    return app.return_code or 0


def _utf8() -> bool:
    return locale.getpreferredencoding(False).lower().replace("-", "") == "utf8"

"""Opens the interface on a terminal."""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping

from jmem.client import Client
from jmem.core import places
from jmem.tui.app import JmemApp
from jmem.tui.prefs import load

CLIENT = "tui"
"""The name that the interface writes by."""


def run(environ: Mapping[str, str], user: str) -> int:
    """Until the person leaves; the exit code."""
    home = places.home(environ)
    # Textual asks for 60 frames a second; a list of text needs no more than half, also over a slow line
    os.environ.setdefault("TEXTUAL_FPS", "30")
    app = JmemApp(Client(home, user=user, client=CLIENT), load(home), user=user, plain=not _utf8())
    app.run()
    return app.return_code or 0


def _utf8() -> bool:
    return locale.getpreferredencoding(False).lower().replace("-", "") == "utf8"

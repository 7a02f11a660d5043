"""The whole backend on one machine, with nothing installed by hand: a Postgres of its own, doubles of Supabase and Qdrant.

It is reached from this machine only, and is no way to run it for others: the doubles ask nobody for proof.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hosted.dev import cluster
from hosted.dev.home import AGAIN, HOST, home
from hosted.operate import serving


def dev(port: int, data: Path | None, *, as_json: bool) -> None:
    """Serve until a signal. Raises JmemError, with the command that mends it."""
    os.umask(0o077)  # what is kept is nobody else's
    with contextlib.suppress(serving.Interrupted), serving.interruptible(), contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(serving.listen(HOST, port, again=AGAIN))
            cluster.installed()
            with serving.deferred():  # what is begun is ended
                held = stack.enter_context(home(data))
            from hosted.dev.run import serve  # all of the backend: what is refused is refused before that

            serve(stack, held, listening, as_json=as_json)
        finally:
            serving.undisturbed()

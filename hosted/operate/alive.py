"""`python -m hosted health`: asked every few seconds by a container's own check, so that it loads next to nothing."""

from __future__ import annotations

import http.client
import os
import sys

from hosted.operate.environment import read_settings


def health(port: int | None) -> int:
    """Ask the replica of this machine whether it lives; 1 when it does not answer."""
    asked = port or read_settings({"DATABASE_URL": "", **os.environ}).port
    connection = http.client.HTTPConnection("127.0.0.1", asked, timeout=3)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer at port {asked}: {type(error).__name__}\n")
        return 1
    finally:
        connection.close()

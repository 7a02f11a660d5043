"""One replica of the hosted backend in a process of its own, as a deployment runs it; the settings are in the environment.

Run as `python replica.py`: prints its address once it serves, ends with SIGTERM.
"""

from __future__ import annotations

import os
import sys

from hosted.app import app_of, read_settings
from hosted.operate import logs, serving


def main() -> None:
    listening = serving.listen("127.0.0.1", int(os.environ.get("REPLICA_PORT", "0")), again="")
    settings = read_settings()
    logs.configure(settings.log_level, sys.stderr)
    app = app_of(settings)

    def ready() -> None:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()

    bus = app.state.backend.bus
    serving.run(serving.Server(serving.options(app, timeout_graceful_shutdown=3), ready, bus.end_streams), [listening])


if __name__ == "__main__":
    main()

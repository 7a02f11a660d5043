from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Self

import pytest
import uvicorn

from hosted.dev.supabase import Double, Settings


class Server:
    """An application on a port of this machine, in a thread of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def serve(self, app: Any) -> None:
        """Prepare to serve the application."""
        options = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


class Running(Server):
    """A double that listens on a port, and its settings, whose clock `ahead` moves."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.ahead = 0.0
        self.settings = Settings(self.url, "http://127.0.0.1:8000", clock=lambda: time.time() + self.ahead)
        for name, value in changes.items():
            setattr(self.settings, name, value)
        self.double = Double(self.settings)
        self.serve(self.double.app)

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.double.close()

    def mail(self, to: str) -> dict[str, str]:
        """The newest mail to an address."""
        return self.double.mails(to)[0]

    @contextlib.contextmanager
    def with_settings(self, **changes: object) -> Iterator[None]:
        """Other settings for a while."""
        before = {name: getattr(self.settings, name) for name in changes}
        for name, value in changes.items():
            setattr(self.settings, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self.settings, name, value)

    @contextlib.contextmanager
    def later(self, seconds: float) -> Iterator[None]:
        """The double's clock, ahead for a while."""
        self.ahead += seconds
        try:
            yield
        finally:
            self.ahead -= seconds


@pytest.fixture(scope="module")
def supabase() -> Iterator[Running]:
    """A double that the tests of a module share."""
    with Running() as running:
        yield running


@pytest.fixture
def email() -> str:
    """An address that nobody has used."""
    return f"{uuid.uuid4().hex[:12]}@example.com"

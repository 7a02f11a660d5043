"""A line between a device and the account that misbehaves: a TCP proxy whose mood changes while it runs."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

Hook = Callable[[bytes], bool | None]
"""Told of each piece of bytes before it is passed on; True hangs up in its place."""
CHUNK = 65536


class Line:
    """Listens on a port of its own and passes bytes on to `upstream`, as its mood lets it.

    Moods: `well`; `down` (hangs up on everybody); `half_open` (takes connections and bytes, passes nothing on); `slow`
    (`rate` bytes a second); `cut` (hangs up in the midst of each answer); or an HTTP status, answered to every request.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.mood = "well"
        self.rate = 20_000
        self.up = self.down = 0
        self.record: bytearray | None = None
        """all that the device has sent, while it is not None"""
        self.asks: Hook | None = None
        self.answers: Hook | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True, name="line").start()

    def hang_up(self) -> None:
        """End every connection there is."""
        with self._lock:
            held, self._open = self._open, set()
        for one in held:
            _end(one)

    def turn(self, mood: str) -> None:
        """Another mood, for old and new connections alike; those of a line that was half open are lost."""
        before, self.mood = self.mood, mood
        if before in ("half_open", "down") or mood in ("down",):
            self.hang_up()

    @contextlib.contextmanager
    def in_mood(self, mood: str) -> Iterator[None]:
        """A mood for a while."""
        self.turn(mood)
        try:
            yield
        finally:
            self.turn("well")

    def close(self) -> None:
        """End it."""
        _end(self._listening)
        self.hang_up()

    # ---- threads ------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                device, _ = self._listening.accept()
            except OSError:
                return
            device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(device)
            threading.Thread(target=self._serve, args=(device,), daemon=True, name="line").start()

    def _serve(self, device: socket.socket) -> None:
        if self.mood == "down":
            _end(device)
            return
        if self.mood.isdigit():
            with contextlib.suppress(OSError):
                self._refuse(device)
            _end(device)
            return
        where = urlsplit(self.upstream)
        try:
            account = socket.create_connection((where.hostname or "", where.port or 80), 10)
        except OSError:
            _end(device)
            return
        account.settimeout(None)
        account.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(account)
        back = threading.Thread(target=self._pass_on, args=(account, device, False), daemon=True, name="line")
        back.start()
        self._pass_on(device, account, True)
        back.join()
        with self._lock:
            self._open -= {device, account}

    def _pass_on(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                if not self._passed(data, target, up):
                    break
        except OSError:
            pass
        _end(source)
        _end(target)

    def _passed(self, data: bytes, target: socket.socket, up: bool) -> bool:
        hook = self.asks if up else self.answers
        if up:
            self.up += len(data)
            if self.record is not None:
                self.record += data
        else:
            self.down += len(data)
        if hook is not None and hook(data):
            return False
        mood = self.mood
        if mood == "half_open":
            return True
        if mood == "down" or mood.isdigit():
            return False
        if mood == "cut" and not up:
            target.sendall(data[: len(data) // 2])
            return False
        if mood == "slow":
            for start in range(0, len(data), 1024):
                target.sendall(data[start : start + 1024])
                time.sleep(1024 / self.rate)
            return True
        target.sendall(data)
        return True

    def _refuse(self, device: socket.socket) -> None:
        """Read one request and answer it with the status that is the mood."""
        device.settimeout(5)
        asked = b""
        while b"\r\n\r\n" not in asked:
            data = device.recv(CHUNK)
            if not data:
                return
            asked += data
        head, _, body = asked.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length and (data := device.recv(CHUNK)):
            body += data
        said = b'{"code":"line"}'
        device.sendall(
            f"HTTP/1.1 {self.mood} Line\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\n"
            f"connection: close\r\n\r\n".encode()
            + said
        )


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()

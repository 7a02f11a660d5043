"""HTTP and JSON over one socket, in 15 ms less than the standard library's http.client, socket and json need.

`re`, `enum` and `socket`'s Python half make up most of that; the C parts below them (`_socket`, `_json`) are
enough here, with the public modules as the fallback on interpreters that lack them.
"""

from __future__ import annotations

try:
    import _socket as socket
except ImportError:  # not CPython
    import socket  # type: ignore[no-redef]
try:
    from _json import encode_basestring, make_encoder, make_scanner

    HAS_C_JSON = True
except ImportError:
    HAS_C_JSON = False

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

HAS_UNIX = hasattr(socket, "AF_UNIX")
_CHUNK = 65536


# ---- JSON -------------------------------------------------------------------------------------


class _Context:
    """What the C scanner asks of a JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _unknown(value: object) -> Any:
    raise TypeError(f"not JSON: {type(value).__name__}")


def loads(text: str | bytes) -> Any:
    """The value of a JSON text; raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode()
    if not HAS_C_JSON:
        import json

        return json.loads(text)
    text = text.strip(" \t\r\n")
    try:
        value, end = make_scanner(_Context)(text, 0)  # type: ignore[arg-type]
    except (StopIteration, SystemError):  # it can't make its own error before json.decoder is imported
        import json

        return json.loads(text)
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON text of `value`, characters beyond ASCII left as they are."""
    if not HAS_C_JSON or indent is not None:
        import json

        return json.dumps(value, ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))
    encoder = make_encoder(None, _unknown, encode_basestring, None, ":", ",", False, False, False)
    return "".join(encoder(value, 0))


_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def quote(text: str) -> str:
    """`text` percent-encoded for a path segment, a query value or a header."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


# ---- HTTP -------------------------------------------------------------------------------------


class Lost(OSError):
    """The connection ended early. `sent` tells whether the whole request had left."""

    def __init__(self, sent: bool) -> None:
        super().__init__("the connection to the daemon was lost")
        self.sent = sent


class Answer:
    """Status, headers (lower case) and the connection that still holds the body."""

    def __init__(self, connection: Any, status: int, headers: Mapping[str, str], rest: bytes) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self._rest = rest

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives."""
        try:
            if self.headers.get("transfer-encoding") == "chunked":
                yield from self._dechunked()
            else:
                yield from self._plain()
        finally:
            self.close()

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(_CHUNK)  # type: ignore[no-any-return]
        except TimeoutError:
            raise
        except OSError as error:
            raise Lost(sent=True) from error

    def _plain(self) -> Iterator[bytes]:
        length = self.headers.get("content-length")
        left = int(length) if length is not None else None
        data, self._rest = self._rest, b""
        while True:
            if data:
                yield data
                if left is not None:
                    left -= len(data)
            if left is not None and left <= 0:
                return
            data = self._receive()
            if not data:
                if left:
                    raise Lost(sent=True)
                return

    def _dechunked(self) -> Iterator[bytes]:
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                return
            while size:
                if not self._rest:
                    self._more()
                data, self._rest = self._rest[:size], self._rest[size:]
                size -= len(data)
                yield data
            self._until(b"\r\n")

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found

    def _more(self) -> None:
        data = self._receive()
        if not data:
            raise Lost(sent=True)
        self._rest += data


def open_unix(path: str) -> Any:
    """A connected socket; raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_tcp(port: int) -> Any:
    """A socket connected to this port of 127.0.0.1; raises OSError."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.connect(("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def exchange(connection: Any, method: str, target: str, headers: str, body: bytes, timeout: float | None) -> Answer:
    """Send one request and read the head of its answer; raises Lost, TimeoutError. `headers` are lines ended by CRLF."""
    connection.settimeout(timeout)
    length = "" if method == "GET" else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n"
    sent = False
    try:
        connection.sendall(head.encode("ascii") + body)
        sent = True
        rest = b""
        while b"\r\n\r\n" not in rest:
            data = connection.recv(_CHUNK)
            if not data:
                raise Lost(sent)
            rest += data
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError) and not isinstance(error, Lost | TimeoutError):
            raise Lost(sent) from error
        raise
    lines, _, rest = rest.partition(b"\r\n\r\n")
    first, *others = lines.decode("latin-1").split("\r\n")
    found = {}
    for line in others:
        name, _, value = line.partition(":")
        found[name.lower()] = value.strip()
    return Answer(connection, int(first.split(" ", 2)[1]), found, rest)

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmem import wire
from jmem.client import encode_query, version_key
from jmem.core import places

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_is_the_standard_librarys(value: Any) -> None:
    assert wire.dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert wire.loads(wire.dumps(value)) == value
    assert wire.loads(json.dumps(value, indent=1) + "\n") == value


@pytest.mark.parametrize("bad", ["", "{", "[1,]", "1 2", "{'a':1}", "nul", '"\x01"', "\ufeff{}"])
def test_what_is_not_json_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        wire.loads(bad)


def test_what_is_not_json_is_refused_by_a_process_that_has_not_imported_json() -> None:
    code = """
import sys
from jmem import wire
assert "json" not in sys.modules
for bad in ("{", "[1,]", "", "{'a':1}", "nul"):
    for name in ("json", "json.decoder", "json.scanner"):
        sys.modules.pop(name, None)
    try:
        wire.loads(bad)
    except ValueError:
        continue
    sys.exit(bad)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError):
        wire.dumps({"a": object()})
    with pytest.raises(ValueError):
        wire.dumps(float("nan"))


@given(st.text())
def test_quote(text: str) -> None:
    quoted = wire.quote(text)
    assert quoted.isascii()
    assert quoted.isprintable()
    assert unquote(quoted) == text


def test_query() -> None:
    assert (
        encode_query({"a": 1, "b": ["x", "é"], "c": None, "d": True, "e": False, "f": ()}) == "?a=1&b=x&b=%C3%A9&d=true"
    )
    assert encode_query(None) == ""


def test_versions_compare_by_number() -> None:
    assert version_key("0.10.0") > version_key("0.9.9")
    assert version_key("1.0.0rc1") >= version_key("1.0.0")


@contextmanager
def answering(*pieces: bytes) -> Iterator[Any]:
    """A connection whose other end sends these pieces and hangs up."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            theirs.recv(65536)
            with suppress(OSError):  # the reader leaves as soon as it has the last chunk
                for piece in pieces:
                    theirs.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()


def ask(connection: Any) -> wire.Answer:
    return wire.exchange(connection, "GET", "/", "", b"", 5.0)


def test_answer_with_a_length_in_pieces() -> None:
    with answering(b"HTTP/1.1 20", b"0 OK\r\nContent-Length: 5\r\nX-A: b\r\n", b"\r\nhe", b"llo") as connection:
        answer = ask(connection)
        assert (answer.status, answer.headers["x-a"], answer.body()) == (200, "b", b"hello")


def test_answer_until_the_end() -> None:
    with answering(b"HTTP/1.1 404 No\r\n\r\nall", b" of it") as connection:
        answer = ask(connection)
        assert (answer.status, answer.body()) == (404, b"all of it")


@pytest.mark.parametrize("cuts", [1, 3, 1000])
def test_chunked_answer(cuts: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n"
    pieces = [raw[place : place + cuts] for place in range(0, len(raw), cuts)]
    with answering(*pieces) as connection:
        assert b"".join(ask(connection).chunks()) == b"hello!"


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",),
    ],
)
def test_an_answer_cut_off_is_noticed(pieces: tuple[bytes, ...]) -> None:
    with answering(*pieces) as connection:
        answer = ask(connection)
        with pytest.raises(wire.Lost):
            answer.body()


def test_no_answer_is_noticed() -> None:
    with answering() as connection, pytest.raises(wire.Lost) as lost:
        ask(connection)
    assert lost.value.sent


def test_an_installation_is_its_place_and_the_moment_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "__init__.py"
    file.write_text("")
    monkeypatch.setattr("jmem.__file__", str(file))
    os.utime(file, ns=(1, 4096))
    place, _, moment = places.installation().partition(".")
    assert moment == "1000"
    os.utime(file, ns=(1, 8192))
    assert places.installation() == f"{place}.2000"
    monkeypatch.setattr("jmem.__file__", str(tmp_path / "other" / "__init__.py"))
    assert places.installation().partition(".")[0] != place

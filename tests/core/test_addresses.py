"""Where a secret may be sent."""

from __future__ import annotations

import pytest

from jmem.core.addresses import account_address, is_loopback
from jmem.core.errors import Invalid


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:11434/v1", True), ("http://127.0.0.1/v1", True), ("http://127.8.9.1:80/v1", True),
        ("http://[::1]:1234/v1", True), ("https://api.openai.com/v1", False), ("http://192.168.0.2/v1", False),
        ("http://localhost.example.org/v1", False), ("http://127.0.0.1.example.org/", False), ("not a url", False),
        ("http://localhost@example.org/", False),
    ],
)  # fmt: skip
def test_what_counts_as_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    "url",
    ["https://memory.example.com/", "https://memory.example.com:8443/jmem", "http://127.0.0.1:8000", "http://localhost",
     "http://[::1]:8000/"],
)  # fmt: skip
def test_an_account_is_asked_over_tls_or_on_this_machine(url: str):
    assert account_address(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "memory.example.com", "http://memory.example.com", "http://127.0.0.1.evil.com", "http://localhost.evil.com",
     "http://localhost@evil.com", "http://127.0.0.1:8000@evil.com", "https://", "https://me:secret@memory.example.com",
     "https://memory.example.com?x=1", "https://memory.example.com#x", "https://memory.example.com:port",
     "http://127.0.0.1\\@evil.com", "https://memory.example.com/\nx", "ftp://localhost", "http://[::1"],
)  # fmt: skip
def test_no_secret_goes_anywhere_else(url: str):
    with pytest.raises(Invalid) as refused:
        account_address(url)
    assert refused.value.code == "bad_address"

from __future__ import annotations

import pytest

from jmem.core.errors import Invalid
from jmem.core.settings import parse_setting


@pytest.mark.parametrize(("key", "text", "reason"), [
    ("idle.stop", "soon", "idle.stop: a whole number of seconds, 0 or more"),
    ("idle.unload", "-1", "idle.unload: a whole number of seconds, 0 or more"),
    ("backup.keep", "1.5", "backup.keep: a whole number, 0 or more"),
    ("port", "http", "port: a port is 1 to 65535"),
    ("port", "65536", "port: a port is 1 to 65535"),
])  # fmt: skip
def test_a_bad_number_is_told_in_words(key: str, text: str, reason: str):
    with pytest.raises(Invalid) as caught:
        parse_setting(key, text)
    assert caught.value.message == reason


def test_whole_numbers_are_taken():
    assert [parse_setting("idle.stop", "0"), parse_setting("backup.keep", "3"), parse_setting("port", "8000")] == [
        0,
        3,
        8000,
    ]

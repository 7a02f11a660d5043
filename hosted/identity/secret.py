"""The text of a key: how it is made, recognised and digested.

    jmk_ + 43 letters and digits + 6 that check them      an API key
    jmc_ + the same                                       the last part of a personal MCP URL

A key carries 256 random bits, so nobody guesses one, whatever the hash: SHA-256 keeps the database's rows worthless to a
thief as well as a slow password hash would, without costing every request tens of milliseconds, and its digest can be
looked up by an index. The check digits let a mistyped key be refused, and a leaked one be recognised, without a database.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from typing import Literal

Kind = Literal["api", "connector"]
PREFIXES: dict[Kind, str] = {"api": "jmk_", "connector": "jmc_"}
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECK = 43, 6
_SHAPE = re.compile(rf"(jmk_|jmc_)([0-9A-Za-z]{{{_BODY}}})([0-9A-Za-z]{{{_CHECK}}})")


def make(kind: Kind) -> str:
    """A new key."""
    body = "".join(secrets.choice(_LETTERS) for _ in range(_BODY))
    return PREFIXES[kind] + body + _check(PREFIXES[kind] + body)


def kind_of(text: str) -> Kind | None:
    """Which kind of key the text seems to be, by its prefix; None: none."""
    return next((kind for kind, prefix in PREFIXES.items() if text.startswith(prefix)), None)


def digest(text: str) -> bytes | None:
    """What the database keeps of a key; None for a text that no key can be."""
    found = _SHAPE.fullmatch(text)
    if found is None or _check(found[1] + found[2]) != found[3]:
        return None
    return hashlib.sha256(b"jmem key 1\0" + text.encode()).digest()


def hint(text: str) -> str:
    """The part of a key that lists show, to tell one from another."""
    return text[:8]


def _check(text: str) -> str:
    left, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK):
        left, digit = divmod(left, len(_LETTERS))
        digits = _LETTERS[digit] + digits
    return digits

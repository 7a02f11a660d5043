"""Text that can be edited without ever being obeyed: what a terminal would act on stands as a mark while it is edited.

Each control character, terminal escape and direction mark changes places with a character of a private plane, so that
the text comes back exactly as it was, whatever was in it; on the screen the marks are drawn as pictures of one column.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PLANE = 0x10F000
_CONTROLS = (*(c for c in range(32) if c not in (9, 10)), *range(127, 160))
_MARKS = (0x200E, 0x200F, 0x061C, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INTO = {code: _PLANE + code for code in _CONTROLS} | {code: _PLANE + 0x100 + n for n, code in enumerate(_MARKS)}
_SWAP = _INTO | {mark: code for code, mark in _INTO.items()}
_DRAWN = {
    mark: (0x2400 + code if code < 32 else 0x2421 if code == 127 else 0xFFFD)
    for code, mark in (*_INTO.items(), *((code, code) for code in _INTO))
}

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ANY = re.compile("[" + "".join(re.escape(chr(code)) for code in _SWAP) + "]")


def _plain(text: str) -> bool:
    """Whether there is nothing to mark; in ASCII, which most text is, this is much faster found."""
    return not (_CONTROL if text.isascii() else _ANY).search(text)


def editable(text: str) -> str:
    """`text` as it is edited; `exact` gives it back."""
    return text if _plain(text) else text.translate(_SWAP)


def exact(text: str) -> str:
    """What was made `editable`, or typed since, as it is stored."""
    return text if _plain(text) else text.translate(_SWAP)


def typed(text: str) -> str:
    """What is put into an editable text from outside: only marked, so that it may be marked already."""
    return text if _plain(text) else text.translate(_INTO)


@lru_cache(maxsize=64)
def drawn(text: str) -> str:
    """An editable text as it is drawn, a column for each mark."""
    return text if _plain(text) else text.translate(_DRAWN)

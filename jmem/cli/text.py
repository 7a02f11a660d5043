"""Text for people: made harmless, measured in terminal columns, cut, wrapped, dated."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_ESCAPES |= {0x2028: "\\u2028", 0x2029: "\\u2029", 0xFEFF: "\\ufeff"}
_ESCAPES |= {
    code: f"\\u{code:04x}" for code in (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_ONE_LINE = _ESCAPES | {10: "\\n", 13: "\\r", 9: "\\t"}
_BLOCK = {code: shown for code, shown in _ESCAPES.items() if code != 10} | {9: "    "}


def one_line(text: str) -> str:
    """`text` on one line, with control characters, terminal escapes and direction marks shown, not executed."""
    return text if text.isprintable() and text.isascii() else text.translate(_ONE_LINE)


def block(text: str) -> str:
    """As `one_line`, but line breaks stay and tabs become spaces."""
    return text if text.isprintable() and text.isascii() else text.translate(_BLOCK)


def width(text: str) -> int:
    """How many terminal columns `text` takes; it has no control characters."""
    if text.isascii():
        return len(text)
    columns, last = 0, 0
    joined = False
    for character in text:
        if character == "\ufe0f":  # shows the character before as an emoji
            columns += 1 if last == 1 else 0
            last = 2
            continue
        last = 0 if joined or (last == 2 and "\U0001f3fb" <= character <= "\U0001f3ff") else _columns(character)
        joined = character == "\u200d"
        columns += last
    return columns


def _columns(character: str) -> int:
    if character < "\u0300":
        return 1
    from unicodedata import category, east_asian_width

    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """`text` in at most `columns` columns, with `…` where something is missing."""
    if width(text) <= columns:
        return text
    kept = text[: max(columns - 1, 0)]
    while kept and width(kept) > columns - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…" if columns > 0 else ""


def pad(text: str, columns: int) -> str:
    """`text` filled with spaces up to `columns`."""
    return text + " " * (columns - width(text))


def wrap(text: str, columns: int, lines: int = 0) -> list[str]:
    """`text` broken at spaces into lines of at most `columns`; the last of at most `lines` ends with `…`."""
    found: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0
        for word in paragraph.split(" "):
            wide = width(word)
            if line and used + 1 + wide > columns:
                found.append(line)
                line, used = "", 0
            while wide > columns:
                head = _fitting(word, columns)
                found.append(head)
                word = word[len(head) :]
                wide = width(word)
            line, used = (f"{line} {word}", used + 1 + wide) if line else (word, wide)
            if lines and len(found) > lines:
                break
        found.append(line)
        if lines and len(found) > lines:
            break
    if lines and len(found) > lines:
        found = found[:lines]
        found[-1] = cut(found[-1] + " " + "…" * columns, columns)
    return found


def _fitting(word: str, columns: int) -> str:
    head = word[:columns]
    while len(head) > 1 and width(head) > columns:
        head = head[:-1]
    return head


def epoch(moment: str) -> float:
    """Seconds since 1970 of an ISO time in UTC, which ends with Z or +00:00 (`datetime` costs 3 ms)."""
    year, month, day = int(moment[:4]), int(moment[5:7]), int(moment[8:10])
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return (
        days * 86400
        + int(moment[11:13]) * 3600
        + int(moment[14:16]) * 60
        + float(moment[17:].removesuffix("+00:00").rstrip("Z"))
    )


_UNITS = ((31557600, "y"), (2629800, "mo"), (604800, "w"), (86400, "d"), (3600, "h"), (60, "m"))


def age(moment: str, now: float | None = None) -> str:
    """`3d`, `2w`, `now`; `in 2d` for what is to come; at most six columns."""
    seconds = (time.time() if now is None else now) - epoch(moment)
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            return f"{int(seconds // size)}{unit}" if seconds > 0 else f"in {int(-seconds // size)}{unit}"
    return "now"


def local_time(moment: str) -> str:
    """`2026-11-22 21:13` in the zone of this machine."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch(moment)))


def last_day(moment: str) -> str:
    """The day that ends at this moment in the zone of this machine, `2026-11-22`; empty where none does."""
    at = epoch(moment)
    whole = at % 60 == 0 and local_time(moment).endswith(" 00:00")
    return time.strftime("%Y-%m-%d", time.localtime(at - 1)) if whole else ""


def end_time(moment: str) -> str:
    """Until when something is true: `end of 2026-11-22` for a whole day, else as `local_time`."""
    day = last_day(moment)
    return f"end of {day}" if day else local_time(moment)


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Each id's shortest ending, of six characters or more, that no other of `ids` has."""
    wanted = list(dict.fromkeys(ids))
    found: dict[str, str] = {}
    for size in range(6, 37):
        endings: dict[str, int] = {}
        for id in wanted:
            endings[id[-size:]] = endings.get(id[-size:], 0) + 1
        for id in wanted:
            if id not in found and endings[id[-size:]] == 1:
                found[id] = id[-size:]
        if len(found) == len(wanted):
            break
    return found

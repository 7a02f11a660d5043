"""How values are written on a page: times, sizes, texts as they are, and what differs between two texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import SequenceMatcher
from typing import Any

import jinja2
from markupsafe import Markup, escape

from jmem.core.model import tags_line

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f]")
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
SHORT = 480
"""Characters of a memory that lists show."""
COMPARED = 20_000
"""Product of the numbers of words (or lines) that differ in two texts, up to which they are compared one by one: at worst
that takes some hundredths of a second."""
_UNITS = ((31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "min"))


def _named(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def shown(text: str) -> str:
    """The text with every control and direction character made visible; line ends and tabs stay."""
    return _CONTROL.sub(_named, text.replace("\r\n", "\n"))


def short(text: str, room: int = SHORT) -> str:
    """The beginning of a text."""
    text = shown(text)
    return text if len(text) <= room else text[:room].rstrip() + " …"


def is_long(text: str) -> bool:
    """Whether lists show only its beginning."""
    return len(text) > SHORT


def line(text: str, room: int = 120) -> str:
    """The beginning of a text, in one line."""
    return short(" ".join(text[: room * 4].split()), room)


def moment(value: str | datetime | None) -> datetime | None:
    """A moment as the services give it."""
    if value is None or value == "":
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def local(value: str | datetime | None, zone: tzinfo) -> datetime | None:
    """The moment by the clocks of a zone; as it is at the ends of the calendar, where no zone has one."""
    at = moment(value)
    try:
        return at and at.astimezone(zone)
    except OverflowError:
        return at


def ago(value: str | datetime | None, zone: tzinfo = UTC) -> str:
    """How long ago, in short; the day of what is to come."""
    at = moment(value)
    if at is None:
        return "never"
    seconds = (datetime.now(UTC) - at).total_seconds()
    if seconds < 0:
        return date(at, zone)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def date(value: str | datetime | None, zone: tzinfo = UTC) -> str:
    """The day."""
    at = local(value, zone)
    return "" if at is None else f"{at.day} {at:%b %Y}"


def clock(value: str | datetime | None, zone: tzinfo = UTC) -> str:
    """Day and time, with the name of the zone."""
    at = local(value, zone)
    return "" if at is None else f"{at.day} {at:%b %Y, %H:%M %Z}"


def until(value: str | datetime | None, zone: tzinfo = UTC) -> str:
    """Until when something is true: a whole day by its name, since it ends as the next one begins."""
    at = local(value, zone)
    if at is not None and f"{at:%H:%M:%S}" == "00:00:00":
        return f"end of {date(at - timedelta(seconds=1), zone)}"
    return clock(at, zone)


def when(value: str | datetime | None, zone: tzinfo = UTC) -> Markup:
    """A moment, told as how long ago it is, exact on demand."""
    at = moment(value)
    if at is None:
        return Markup("never")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), clock(at, zone), ago(at, zone))


def number(value: int) -> str:
    """With separators."""
    return f"{value:,}"


def marked(text: str, terms: Iterable[str]) -> Markup:
    """The text with the words that a question asked for."""
    heads = sorted({re.escape(term) for term in terms if len(term) > 1}, key=len, reverse=True)
    if not heads:
        return escape(text)
    found: list[Any] = []
    at = 0
    for match in re.finditer(rf"(?<!\w)(?:{'|'.join(heads)})\w*", text, re.IGNORECASE):
        found += [escape(text[at : match.start()]), Markup("<mark>{}</mark>").format(match[0])]
        at = match.end()
    return Markup("").join([*found, escape(text[at:])])


def diff(before: str, after: str) -> Markup:
    """How one text became the other: what went, what came, what stayed."""
    a, b = shown(before), shown(after)
    for split in (_words, _lines):
        old, new = split(a), split(b)
        start = _shared(old, new)
        end = _shared(old[start:][::-1], new[start:][::-1])
        gone, came = old[start : len(old) - end], new[start : len(new) - end]
        if len(gone) * len(came) <= COMPARED:
            changed = _compared(gone, came)
            break
    else:
        changed = [_gone("".join(gone)), _came("".join(came))]
    return Markup("").join([escape("".join(old[:start])), *changed, escape("".join(old[len(old) - end :]))])


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _shared(old: list[str], new: list[str]) -> int:
    """How many parts at the beginning are the same."""
    return next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _compared(old: list[str], new: list[str]) -> list[Markup]:
    parts: list[Markup] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(escape("".join(new[j1:j2])))
        else:
            parts += [_gone("".join(old[i1:i2])), _came("".join(new[j1:j2]))]
    return parts


_GONE, _CAME = re.compile(r"<del>.*?</del>", re.DOTALL), re.compile(r"<ins>.*?</ins>", re.DOTALL)
_ONLY = re.compile(r'<(?:del|ins)><span class="sr">\w+: </span>(.*?)</(?:del|ins)>', re.DOTALL)
_HERE = '<mark><span class="sr">only here: </span>'
_BETWEEN = re.compile(rf"</mark>(\s+){re.escape(_HERE)}")


def sides(left: str, right: str) -> tuple[Markup, Markup]:
    """Two texts that stand side by side, each with what the other does not have marked; unmarked if they share no word."""
    told = str(diff(left, right))
    if not re.search(r"\w", _GONE.sub("", _CAME.sub("", told))):
        return escape(shown(left)), escape(shown(right))
    one, other = _CAME.sub("", told), _GONE.sub("", told)
    return _only_here(one), _only_here(other)


def _only_here(told: str) -> Markup:
    marked = _ONLY.sub(rf"{_HERE}\1</mark>", told)
    return Markup(_BETWEEN.sub(r"\1", marked))


def _gone(text: str) -> Markup:
    return Markup('<del><span class="sr">removed: </span>{}</del>').format(text) if text else Markup("")


def _came(text: str) -> Markup:
    return Markup('<ins><span class="sr">added: </span>{}</ins>').format(text) if text else Markup("")


def _zoned(write: Callable[[Any, tzinfo], str]) -> Callable[[Mapping[str, Any], Any], str]:
    """As a filter, which writes in the zone of the page that it stands on."""

    @jinja2.pass_context
    def written(context: Mapping[str, Any], value: Any) -> str:
        return write(value, context["zone"])

    return written


FILTERS = {
    "shown": shown, "short": short, "is_long": is_long, "line": line, "date": _zoned(date), "clock": _zoned(clock),
    "until": _zoned(until), "when": _zoned(when), "number": number, "tags_line": tags_line,
}  # fmt: skip

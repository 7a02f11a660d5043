"""Values that are written in words: times and metadata."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from jmem.cli.output import Output

CLEAR = ("", "none", "never")
"""What clears a time or a name in `jmem edit`."""


def metadata(given: Iterable[str]) -> dict[str, Any]:
    """The object that `key=value` pairs and JSON objects add up to; raises Invalid. Values stay text in pairs."""
    from jmem.core.errors import Invalid

    found: dict[str, Any] = {}
    for text in given:
        if text.lstrip().startswith("{"):
            found.update(_object(text))
            continue
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Invalid(
                f"--metadata {text!r} is neither key=value nor a JSON object",
                field="metadata",
                fix="--metadata flight=BA117",
            )
        found[key] = value
    return found


def _object(text: str) -> dict[str, Any]:
    import json

    from jmem.core.errors import Invalid

    try:
        value = json.loads(text)
    except ValueError as error:
        raise Invalid(f"--metadata is not JSON: {error}", field="metadata") from None
    except RecursionError:
        raise Invalid("--metadata is nested too deeply", field="metadata") from None
    return dict(value)


def moment(text: str, option: str, *, end: bool = False) -> str:
    """When `text` (ISO 8601 or words) begins, or with `end` ends, as the API wants it; raises Invalid."""
    from jmem.core.timewords import parse_moment

    return parse_moment(text, field=option)[1 if end else 0]


def warn_if_past(out: Output, expires: str | None) -> None:
    """Say that what is stored now is out of date already; nothing for None."""
    import time

    from jmem.cli.text import end_time, epoch

    if expires and epoch(expires) <= time.time():
        out.warn(f"it expires in the past ({end_time(expires)}): searches and lists leave it out")

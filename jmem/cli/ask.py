"""Questions to the person at the terminal."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.core.errors import Invalid, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.output import Output


def confirmed(out: Output, question: str, yes: bool) -> bool:
    """Whether to go on: --yes, or a `y` typed in. Raises Refused where there is nobody to ask."""
    if yes:
        return True
    if not stdin.is_terminal() or not out.stderr_tty:
        raise Refused(f"nobody is here to answer '{question}?'; nothing was changed", code="needs_yes", fix="add --yes")
    out.write_error(f"{question}? [y/N] ")
    try:
        agreed = input().strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if not agreed:
        out.note("nothing was changed")
    return agreed


def typed(out: Output, what: str, fix: str) -> str:
    """A line that the person types in. Raises Invalid with the fix where there is nobody to ask, or nothing is typed."""
    if not stdin.is_terminal() or not out.stderr_tty:
        raise Invalid(f"{what.lower()} is missing, and nobody is here to ask", code="usage", fix=fix)
    out.write_error(f"{what}: ")
    try:
        text = input().strip()
    except EOFError:
        text = ""
    if not text:
        raise Invalid(f"{what.lower()} is missing", code="usage", fix=fix)
    return text

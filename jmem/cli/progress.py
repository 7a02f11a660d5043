"""Counts and time left on stderr, for what takes longer than a second."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.output import Output

_SILENT = 1.0
_EVERY = 0.1
_EVERY_LINE = 5.0


class Progress:
    """One running line on a terminal; with --verbose and no terminal, a line every five seconds."""

    def __init__(self, out: Output, what: str, total: int | None = None, *, unit: str = "") -> None:
        self._out = out
        self._what = what
        self._unit = f" {unit}" if unit else ""
        self._total = total
        self._began = time.monotonic()
        self._shown = 0.0
        self._drawn = False

    def expect(self, total: int) -> None:
        """How many there will be, once that is known."""
        self._total = total

    def update(self, count: int, done: int | None = None) -> None:
        """`count` things are finished; `done` of `total` (bytes, say) where that is not the count."""
        if now := self._due():
            self._show(f"{self._what} {count:,}{self._unit}" + self._left(count if done is None else done, count, now))

    def say(self, text: str) -> None:
        """How far it has come, in the words of who knows."""
        if self._due():
            self._show(text)

    def _due(self) -> float | None:
        """The moment, where something is to be shown at it."""
        now = time.monotonic()
        live = self._out.stderr_tty and not self._out.quiet
        if not live and not self._out.verbose:
            return None
        if now - self._began < _SILENT or now - self._shown < (_EVERY if live else _EVERY_LINE):
            return None
        self._shown = now
        return now

    def _show(self, text: str) -> None:
        if self._out.stderr_tty and not self._out.quiet:
            self._drawn = True
            self._out.write_error(f"\r\x1b[K{text}")
        else:
            self._out.note(text)

    def _left(self, done: int, count: int, now: float) -> str:
        if not self._total or not done:
            return ""
        share = min(done / self._total, 1.0)
        left = (now - self._began) * (1 - share) / share
        of = f" of {self._total:,}" if done == count else ""
        return f"{of} · {share:.0%} · {duration(left)} left"

    def close(self) -> None:
        """Take the running line away."""
        if self._drawn:
            self._out.write_error("\r\x1b[K")
            self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

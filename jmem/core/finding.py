"""What `jmem doctor` finds: one line for each thing that can be wrong, with the command that mends it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    name: str
    status: Status
    message: str
    fix: str | None = None
    """the command, or the act, that mends it"""
    mend: Callable[[], str] | None = None
    """mends it safely and says what it did; raises JmemError or OSError when it can't"""
    fixed: str | None = None
    """what --fix did"""

    def as_dict(self) -> dict[str, Any]:
        """The shape of `jmem doctor --json`."""
        return {
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "fix": self.fix,
            "fixed": self.fixed,
        }


Check = Callable[[], Iterable[Finding]]


def examine(checks: Iterable[Check], *, mend: bool = False) -> list[Finding]:
    """Run every check; with `mend`, mend what can be mended and look again."""
    findings: list[Finding] = []
    for check in checks:
        found = _run(check)
        if mend and (done := _mend(found)):
            found = [replace(f, fixed=done.get(f.name, f.fixed)) for f in _run(check)]
        findings += found
    return findings


def _run(check: Check) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001 (a check that fails must not hide what the others find)
        frames = traceback.extract_tb(error.__traceback__)
        where = frames[-1]
        name = next((frame.name.strip("_") for frame in frames[1:] if frame.name != "<lambda>"), "check")
        reason = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        return [Finding(name, "fail", f"could not be checked: {reason}")]


def _mend(findings: Iterable[Finding]) -> dict[str, str]:
    """What was done, by the name of the finding."""
    done: dict[str, str] = {}
    for finding in findings:
        if finding.status == "ok" or finding.mend is None:
            continue
        try:
            said = finding.mend()
        except Exception as error:  # noqa: BLE001 (one thing that can't be mended must not keep the rest from it)
            said = f"could not be mended: {error}"
        done[finding.name] = f"{done[finding.name]}; {said}" if finding.name in done else said
    return done

"""The command line's side of doctor."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from jmem.cli.doctor import deep


def test_a_daemon_that_can_not_be_run_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory", "python")

    monkeypatch.setattr(subprocess, "run", refuse)
    (found,) = deep(SimpleNamespace(fix=False, environ={}, home="/nowhere"))  # type: ignore[arg-type]
    assert (found.status, found.message) == ("fail", "the daemon's program does not run: No such file or directory")

"""The programs of Postgres, where the account that runs them can't reach those that are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hosted.dev import cluster


def test_a_copy_of_the_programs_is_for_everybody_whatever_else_is_kept_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site" / cluster.PACKAGE / "pginstall"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "initdb").write_text("")
    (tmp_path / "site" / f"{cluster.PACKAGE}.libs").mkdir()
    for folder in (place, place.parent):
        folder.chmod(0o755)

    def refused(*ignored: object) -> None:
        raise PermissionError

    monkeypatch.setattr(cluster, "installed", lambda: place)
    monkeypatch.setattr(cluster, "_run", refused)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = tmp_path / "made"
    made.mkdir()
    before = os.umask(0o077)
    try:
        found = cluster._usable(made)
    finally:
        os.umask(before)
    assert found.is_relative_to(made)
    for folder in (found, found / "bin", found.parent, made / f"{cluster.PACKAGE}.libs"):
        assert folder.stat().st_mode & 0o005 == 0o005, folder

"""The npm packages that tests drive, installed at first use beside the package.json that names them."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path


def npm_installed(folder: Path) -> Path:
    """The `node_modules` of a folder's package.json, installed anew when that has changed."""
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    with (folder / "package.json").open() as package:
        fcntl.flock(package, fcntl.LOCK_EX)  # one of several test processes installs
        wanted = package.read()
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(modules, ignore_errors=True)
            options = ["--no-package-lock", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"]
            subprocess.run(["npm", "install", *options], cwd=folder, check=True, capture_output=True, timeout=300)
            stamp.write_text(wanted)
    return modules

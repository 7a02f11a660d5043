"""Nothing that jmem is made of leaves anything outside its home, or reports to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EMBED = """
from jmem.core.embed.bundled import BundledEmbedder
print(BundledEmbedder().embed(["a text"]).shape)
"""


def test_the_embedder_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", EMBED],
        env={**environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "(1, 384)\n"
    assert list(tmp_path.iterdir()) == []

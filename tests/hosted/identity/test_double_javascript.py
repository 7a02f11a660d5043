"""The official JavaScript client, unmodified, against the double."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.hosted.identity.conftest import Running
from tests.npm import npm_installed

HERE = Path(__file__).parent


def test_the_javascript_client_can_do_everything(supabase: Running, tmp_path: Path) -> None:
    node = npm_installed(HERE) / "node" / "bin" / "node"
    with Running(reuse_interval=0) as strict, Running(algorithm="HS256", jwt_secret="s" * 40) as shared:
        environment = {
            "SUPABASE_URL": supabase.url,
            "SUPABASE_STRICT_URL": strict.url,
            "SUPABASE_HS256_URL": shared.url,
            "SUPABASE_KEY": supabase.settings.publishable_key,
            "SUPABASE_SECRET": supabase.settings.secret_key,
            "HOME": str(tmp_path),
        }
        command = [str(node), "--test", "--test-reporter=tap", str(HERE / "supabase_js.test.mjs")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass 11$", done.stdout, re.M), done.stdout
    assert re.search(r"^# skipped 0$", done.stdout, re.M), done.stdout

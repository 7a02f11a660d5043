"""The files of a deployment: what they name exists, and the settings in them are those of the program."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from hosted.__main__ import _parser
from hosted.app import app_of
from hosted.operate import settings_page
from hosted.settings import Settings

ROOT = Path(__file__).parents[3]
NAMES = {each.name.upper() for each in fields(Settings)}
SECRETS = {each.name.upper() for each in fields(Settings) if each.metadata["secret"]}


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    return dict(found)


def test_the_page_and_the_example_are_those_of_the_settings() -> None:
    again = "run: python -m hosted.operate.settings_page"
    assert settings_page.PAGE.read_text() == settings_page.page(), again
    assert settings_page.EXAMPLE.read_text() == settings_page.example(), again


def test_the_example_is_an_environment() -> None:
    lines = settings_page.EXAMPLE.read_text().splitlines()
    set_ = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    shown = dict(line[2:].split("=", 1) for line in lines if re.match(r"# [A-Z_]+=", line))
    assert set_.keys() | shown.keys() == NAMES
    assert Settings.read({**set_, **shown}) == Settings(database_url="")


def test_the_blueprint_sets_what_is_known_and_asks_for_every_secret(service: dict[str, Any]) -> None:
    asked = {each["key"]: each for each in service["envVars"]}
    assert len(asked) == len(service["envVars"])
    assert asked.keys() <= NAMES
    assert asked.keys() >= SECRETS | set(map(str.upper, settings_page.NEEDED))
    for name in SECRETS:
        assert asked[name].get("sync") is False or asked[name].get("generateValue") is True, name
        assert "value" not in asked[name], "no secret stands in a file"
    given = {name: each["value"] for name, each in asked.items() if "value" in each}
    assert all(isinstance(each, str) for each in given.values()), "YAML turns bare words into other things"
    settings = Settings.read({"DATABASE_URL": "", **given})
    assert settings.bind_host == "0.0.0.0"
    assert service["maxShutdownDelaySeconds"] > settings.drain_timeout


def test_the_blueprints_commands_and_addresses_exist(service: dict[str, Any]) -> None:
    assert (ROOT / service["dockerfilePath"]).exists()
    migrate = shlex.split(service["preDeployCommand"])
    assert migrate[:3] == ["python", "-m", "hosted"]
    assert _parser().parse_args(migrate[3:]).command == "migrate"
    app = app_of(Settings(database_url="postgresql://u@localhost/d", supabase_url="https://p.supabase.co"))
    assert service["healthCheckPath"] in {getattr(route, "path", None) for route in app.routes}


def test_the_image_runs_commands_that_exist_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text()
    commands = re.findall(r"CMD (\[.*\])", text)
    parsed = [_parser().parse_args(yaml.safe_load(each)[3:]).command for each in commands]
    assert parsed == ["health", "serve"]
    assert text.index("USER jmem") < text.index('CMD ["python", "-m", "hosted", "serve"]')
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source
    names = set(re.findall(r"([A-Z_]+)=", "".join(re.findall(r"^ENV .*$", text, re.MULTILINE))))
    assert names - {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PIP_NO_CACHE_DIR",
                    "PIP_DISABLE_PIP_VERSION_CHECK"} <= NAMES  # fmt: skip
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".env"} <= set(ignored)
    assert not {"hosted", "jmem", "sync", "daemon"} & set(ignored)


def test_what_the_pages_tell_to_run_exists() -> None:
    for page in [*(ROOT / "docs" / "operate").glob("*.md")]:
        for command in re.findall(r"python -m hosted ([^\n`|:;,()]+)", page.read_text()):
            words = shlex.split(command.split("&&")[0].rstrip(".")) if "…" not in command else []
            if words and words[0].isascii() and "--to" not in words[-1:] and "--from" not in words[-1:]:
                assert _parser().parse_known_args([*words, *_rest(words)])[0].command == words[0], (page, command)


def _rest(words: list[str]) -> list[str]:
    needed = {"backup": "--to", "restore": "--from"}.get(words[0])
    return [needed, "x"] if needed and needed not in words else []


def test_every_setting_says_what_it_is_for() -> None:
    for each in fields(Settings):
        assert each.metadata["about"].strip(), each.name
        if each.metadata["secret"]:
            assert each.default in ("", MISSING), f"{each.name}: no secret has a default"


@pytest.mark.parametrize(
    "command", [["serve"], ["migrate"], ["check"], ["backup", "--to", "x"], ["restore", "--from", "x"]]
)
def test_a_missing_setting_is_named_with_where_to_read_of_it(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hosted", *command], capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "", "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    said = done.stdout + done.stderr
    assert "DATABASE_URL" in said, said
    assert "Traceback" not in said

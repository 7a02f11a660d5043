"""What is shipped: the three packages, typed, and nothing else; versions that agree."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import jmem
from tests.packaging.conftest import ROOT, copy_checkout

PACKAGES = ("jmem", "daemon", "sync")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    checkout = copy_checkout(folder / "checkout")
    for stray in ("tests", "bench", "hosted", "jmem/__pycache__"):
        (checkout / stray).mkdir(parents=True)
        (checkout / stray / "stray.py").write_text("")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=checkout,
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_holds_the_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, f"jmem-{jmem.__version__}.dist-info"}
    assert not [name for name in wheel.namelist() if "stray" in name and "__pycache__" in name]


def test_every_source_file_is_in_it(wheel: zipfile.ZipFile) -> None:
    here = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here <= set(wheel.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_is_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_names_its_program_licence_and_python(wheel: zipfile.ZipFile) -> None:
    info = f"jmem-{jmem.__version__}.dist-info"
    assert "jmem = jmem.cli.main:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(wheel.namelist())
    assert "Requires-Python: >=3.11" in wheel.read(f"{info}/METADATA").decode()


def test_is_small(wheel: zipfile.ZipFile) -> None:
    assert sum(item.compress_size for item in wheel.infolist()) < 2_000_000


def test_the_generic_package_names_are_of_this_checkout() -> None:
    for name in PACKAGES:
        module = sys.modules.get(name) or __import__(name)
        assert Path(str(module.__file__)).parent == ROOT / name


def test_version_and_changelog_agree() -> None:
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert heads[0] == "Unreleased"
    released = [head for head in heads if head != "Unreleased"]
    assert released == sorted(released, key=lambda v: [int(n) for n in v.split(".")], reverse=True)
    assert not released or released[0] == jmem.__version__
    assert metadata.version("jmem") == jmem.__version__

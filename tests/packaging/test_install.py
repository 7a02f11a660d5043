"""install.sh for real, in an empty home and with little on the PATH: install, again, upgrade, uninstall, purge."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.packaging.conftest import TOOLS, Machine, copy_checkout

NO_DEPENDENCIES: tuple[str, ...] = ()
"""The plain commands need nothing but the standard library: enough to see how a program is installed."""


def release(checkout: Path, version: str) -> None:
    """Make the checkout another version."""
    path = checkout / "jmem" / "__init__.py"
    path.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', path.read_text()))


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("light") / "checkout", NO_DEPENDENCIES)


@pytest.mark.timeout(600)
def test_with_uv_the_two_commands_of_the_readme_work(tmp_path: Path, programs: Path) -> None:
    machine = Machine(tmp_path, [programs / "uv"])
    machine.path = [machine.home / ".local/bin"]
    install = copy_checkout(tmp_path / "checkout") / "install.sh"
    done = machine.run(install)
    assert "installing jmem with uv" in done.stdout
    assert "PATH" not in done.stdout
    try:
        machine.run("jmem", "add", "I prefer aisle seats on long flights")
        found = machine.run("jmem", "search", "which seat should I book").stdout
        assert "aisle seats" in found
        check = json.loads(machine.run("jmem", "doctor", "--json").stdout)
        assert check["ok"], check
        assert {c["name"]: c["status"] for c in check["checks"]}["packages"] == "ok"
        python = machine.home / ".local/share/uv/tools/jmem/bin/python"
        owners = "import importlib.metadata as m; d = m.packages_distributions(); print(d['daemon'], d['sync'])"
        assert machine.run(python, "-c", owners).stdout == "['jmem'] ['jmem']\n"
        assert list(python.parent.parent.glob("lib/*/site-packages/jmem/__pycache__/*.pyc"))

        release(install.parent, "0.1.99")
        assert "upgraded" in machine.run(install).stdout
        assert machine.run("jmem", "version").stdout.split()[-1] == "0.1.99"
        assert "aisle seats" in machine.run("jmem", "search", "which seat should I book").stdout
    finally:
        done = machine.run(install, "--uninstall", check=False)
    assert done.returncode == 0, done.stderr
    assert f"your memories are kept in {machine.memories}" in done.stdout
    assert list(machine.memories.glob("users/*/memories.db"))
    assert not (machine.home / ".local/bin/jmem").exists()
    assert not (machine.memories / "run/jmem.sock").exists()


@pytest.mark.timeout(600)
def test_with_a_venv(tmp_path: Path, light: Path) -> None:
    machine = Machine(tmp_path)
    machine.path = [machine.home / "bin"]
    (machine.home / "bin").mkdir()
    (machine.home / "bin/jmem").symlink_to("/removed/.local/bin/jmem")
    done = machine.run(light / "install.sh")
    assert "installing jmem with venv" in done.stdout
    assert "this takes a minute" in done.stdout
    assert "linked" in done.stdout
    assert (machine.home / "bin/jmem").is_symlink()
    venv = machine.home / ".local/share/jmem-venv"
    assert (machine.home / ".local/bin/jmem").readlink() == venv / "bin/jmem"
    first = machine.run("jmem", "version").stdout
    assert "upgraded" in machine.run(light / "install.sh").stdout
    assert machine.run("jmem", "version").stdout == first
    (machine.home / ".bashrc").write_text(f"source '{machine.home}/.bash_completions/jmem.sh'\n")
    said = machine.run(light / "install.sh", "--uninstall").stdout
    assert f"still in {machine.home / '.bashrc'}" in said
    assert not venv.exists()
    assert not (machine.home / "bin/jmem").is_symlink()
    assert not (machine.home / ".local/bin/jmem").is_symlink()
    assert "jmem is not installed" in machine.run(light / "install.sh", "--uninstall").stdout


@pytest.mark.timeout(600)
def test_with_pipx_and_an_upgrade_stays_where_it_is(tmp_path: Path, programs: Path) -> None:
    light = copy_checkout(tmp_path / "checkout", NO_DEPENDENCIES)
    machine = Machine(tmp_path, [programs / "pipx"])
    done = machine.run(light / "install.sh", SHELL="/bin/zsh")
    assert "installing jmem with pipx" in done.stdout
    assert f"echo 'export PATH=\"{machine.home}/.local/bin:$PATH\"' >> ~/.zshrc" in done.stdout
    (machine.bin / "uv").symlink_to(programs / "uv")
    release(light, "0.1.99")
    assert "installing jmem with pipx" in machine.run(light / "install.sh").stdout
    assert machine.run(machine.home / ".local/bin/jmem", "version").stdout.split()[-1] == "0.1.99"
    machine.run(light / "install.sh", "--uninstall")
    assert not (machine.home / ".local/bin/jmem").exists()


def stored(machine: Machine) -> Path:
    """A home with a memory's file in it, with nothing installed."""
    database = machine.memories / "users/0/memories.db"
    database.parent.mkdir(parents=True)
    database.write_text("a memory")
    return database


def test_purge_asks_and_takes_only_the_right_answer(tmp_path: Path, light: Path) -> None:
    machine = Machine(tmp_path)
    database = stored(machine)
    assert machine.run(light / "install.sh", "--uninstall").returncode == 0
    for answer in ("", "yes\n", "y\n"):
        refused = machine.run(light / "install.sh", "--uninstall", "--purge", input=answer, check=False)
        assert refused.returncode == 1
        assert "not confirmed; nothing was removed" in refused.stderr
        assert database.exists()
    machine.run(light / "install.sh", "--uninstall", "--purge", input="delete my memories\n")
    assert not machine.memories.exists()


def test_purge_with_yes_and_never_a_folder_that_is_not_jmems(tmp_path: Path, light: Path) -> None:
    machine = Machine(tmp_path)
    refused = machine.run(
        light / "install.sh", "--uninstall", "--purge", "--yes", check=False, JMEM_HOME=str(machine.home)
    )
    assert refused.returncode == 1
    assert machine.home.exists()
    stored(machine)
    machine.run(light / "install.sh", "--uninstall", "--purge", "--yes")
    assert not machine.memories.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wrong"], "unknown option: --wrong"),
        (["--method", "conda"], "--method is uv, pipx or venv"),
        (["--method=uv"], "uv is not on your PATH"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--python", "/bin/ls"], "/bin/ls is not Python 3.11 or newer"),
    ],
)
def test_refuses_and_says_why(tmp_path: Path, light: Path, arguments: list[str], said: str) -> None:
    machine = Machine(tmp_path)
    done = machine.run(light / "install.sh", *arguments, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert not list(machine.home.iterdir())


def test_a_failing_step_shows_its_output_and_a_remedy(tmp_path: Path, light: Path) -> None:
    machine = Machine(tmp_path)
    uv = machine.bin / "uv"
    uv.write_text(
        '#!/bin/sh\n[ "$1 $2" = "tool dir" ] && { echo /nowhere; exit 0; }\necho "cannot reach it" >&2; exit 2\n'
    )
    uv.chmod(0o755)
    done = machine.run(light / "install.sh", check=False)
    assert done.returncode == 1
    assert "    cannot reach it" in done.stderr
    assert "check your network" in done.stderr


def test_is_plain_posix_shell_and_asks_for_no_privileges(light: Path) -> None:
    text = (light / "install.sh").read_text()
    assert text.startswith("#!/bin/sh\n")
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    unwanted = r"\bsudo\s+[a-z]|\[\[|<<<|^\s*local\s|--break-system-packages"
    assert not re.search(unwanted, text, flags=re.MULTILINE)
    assert set(re.findall(r"\b(curl|wget|awk|perl)\b", text)) == set()
    assert "sh" in TOOLS

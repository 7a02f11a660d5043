"""Draw docs/pictures/terminal.svg: real commands in a real terminal, against a daemon of its own.

python docs/pictures/make.py     needs tmux and the development environment
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH, HEIGHT = 84, 26
NOTES = (
    ("Prefers aisle seats on long flights", "--tag", "travel"),
    ("Ana's birthday is on 14 March; she likes orchids", "--tag", "family"),
    ("The staging database is restored every Monday at 6", "--tag", "work"),
    ("Usually flies from Logan, never with a layover under an hour", "--tag", "travel"),
    ("Allergic to penicillin",),
)
SCENE = (
    'jmem add "Seat 14C was too close to the galley" --tag travel',
    'jmem search "which seat should I book" -n 3',
    "jmem tag {last} +seats",
    'jmem search "when does ana turn older" -n 1',
    "jmem undo",
    "jmem list -n 4",
)


def main() -> None:
    """Play the scene and write the picture beside this file."""
    home = tempfile.mkdtemp(prefix="jmem-picture-")
    bin_folder = Path(sys.executable).parent
    environ = {**os.environ, "JMEM_HOME": home, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PS1": "$ "}
    for note in NOTES:
        subprocess.run(["jmem", "add", *note], env=environ, check=True, capture_output=True)
    session = f"jmem-{os.getpid()}"
    tmux = ["tmux", "-L", session]
    shell = ["env", f"JMEM_HOME={home}", f"PATH={environ['PATH']}", "PS1=$ ", "TERM=xterm-256color", "bash", "--norc"]
    subprocess.run([*tmux, "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), *shell], check=True)
    try:
        for command in SCENE:
            last = subprocess.run(["jmem", "list", "-n", "1"], env=environ, check=True, capture_output=True, text=True)
            text = command.format(last=last.stdout.split("\t")[0][-6:])
            subprocess.run([*tmux, "send-keys", "-l", text], check=True)
            subprocess.run([*tmux, "send-keys", "Enter"], check=True)
            time.sleep(1.5)
        screen = subprocess.run([*tmux, "capture-pane", "-pe"], check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
        subprocess.run(["jmem", "daemon", "stop"], env=environ, check=False, capture_output=True)
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(screen.rstrip()))
        console.save_svg(str(Path(__file__).with_name("terminal.svg")), title="jmem")


if __name__ == "__main__":
    main()

"""A real terminal that a program runs in: a tmux server of its own, typed into and read from."""

from __future__ import annotations

import contextlib
import queue
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from bench.home import wait_for


class Terminal:
    """One program in one terminal of `columns` by `rows`; everything ends with the block.

    Commands go through tmux's control mode, so that a key costs no process, and every piece of output is timed.
    """

    def __init__(self, command: list[str], environ: Mapping[str, str], columns: int = 80, rows: int = 24) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tmux-")
        self._tmux = ["tmux", "-S", str(Path(self._folder.name) / "s"), "-f", "/dev/null"]
        self._environ = {**environ, "TERM": "xterm-256color"}
        program = {"COLORTERM": "truecolor", **environ, "TERM": environ.get("TERM", "xterm-256color")}
        words = ["env", "-i", *(f"{name}={value}" for name, value in program.items()), *command]
        self.size = columns, rows
        self._control = subprocess.Popen(
            [*self._tmux, "-C", "new-session", "-x", str(columns), "-y", str(rows), shlex.join(words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environ,
        )  # fmt: skip
        self._outputs: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._answers.get(timeout=10)
        self._say("set-option -g status off")
        self.resize(columns, rows)

    # ---- control mode

    def _read(self) -> None:
        assert self._control.stdout
        block: list[str] | None = None
        for raw in self._control.stdout:
            if raw.startswith(b"%output"):
                self._outputs.put(time.perf_counter())
            elif raw.startswith(b"%begin"):
                block = []
            elif raw.startswith((b"%end", b"%error")) and block is not None:
                self._answers.put(block)
                block = None
            elif block is not None:
                block.append(raw.decode(errors="replace").rstrip("\n"))

    def _say(self, line: str) -> list[str]:
        assert self._control.stdin
        self._control.stdin.write(line.encode() + b"\n")
        self._control.stdin.flush()
        return self._answers.get(timeout=20)

    # ---- typing and looking

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names: `Enter`, `Escape`, `C-r`, `Down`, or single characters."""
        self._say("send-keys " + " ".join(shlex.quote(name) for name in names))

    def type(self, text: str) -> None:
        """Type a text as it is."""
        self._say(f"send-keys -l {shlex.quote(text)}")

    def paste(self, path: str) -> None:
        """Put a file's text in as a terminal does that does not mark a paste: a key for each character."""
        self._say(f"load-buffer {shlex.quote(path)}")
        self._say("paste-buffer")

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the window."""
        self.size = columns, rows
        self._say(f"refresh-client -C {columns}x{rows}")
        self._say(f"resize-window -x {columns} -y {rows}")

    def screen(self, *, styled: bool = False) -> str:
        """What stands on the screen; `styled` with its escape sequences."""
        return "\n".join(self._say("capture-pane -p" + (" -e" if styled else ""))).rstrip()

    def see(self, *texts: str, seconds: float = 20.0) -> str:
        """Wait until every text is on the screen; the screen. Raises AssertionError with what stood there instead."""
        return self.until(lambda screen: all(text in screen for text in texts), f"the screen to show {texts}", seconds)

    def until(self, condition: Callable[[str], bool], what: str, seconds: float = 20.0) -> str:
        """Wait until the screen fulfils a condition; the screen."""
        try:
            wait_for(lambda: condition(self.screen()), seconds, what)
        except TimeoutError:
            raise AssertionError(f"waited for {what}; the screen is\n{self.screen()}") from None
        return self.screen()

    def pressed(self, name: str, quiet: float) -> tuple[float, float]:
        """Press a key: milliseconds until the first output, and until the last one before `quiet` seconds without any."""
        while not self._outputs.empty():
            self._outputs.get()
        start = time.perf_counter()
        self.keys(name) if len(name) > 1 else self.type(name)
        moments = [self._outputs.get(timeout=20)]
        while True:
            try:
                moments.append(self._outputs.get(timeout=quiet))
            except queue.Empty:
                return (moments[0] - start) * 1000, (moments[-1] - start) * 1000

    @property
    def pid(self) -> int:
        """Of the program."""
        return int(self._say("display-message -p '#{pane_pid}'")[0])

    @property
    def title(self) -> str:
        """What the program, or a text that it let through, has called the window."""
        return self._say("display-message -p '#{pane_title}'")[0]

    @property
    def ended(self) -> bool:
        """Whether the program has left."""
        return self._control.poll() is not None

    def close(self) -> None:
        """End the program and the terminal."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)
        self._control.wait(timeout=10)
        self._reader.join(timeout=10)
        for pipe in (self._control.stdin, self._control.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._folder.cleanup()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

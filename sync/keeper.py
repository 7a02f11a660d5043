"""Where the refresh token lies: in the system's keyring where there is a real one, else in a file of its owner's alone."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from jmem.core.errors import StorageFailed
from jmem.core.store.failures import disk_failed
from jmem.core.store.migrate import sync_file
from sync.remote import Offline

T = TypeVar("T")
SERVICE = "jmem"
FILE = "session"
PATIENCE_S = 5.0
"""A keyring that asks its person something does not answer a daemon: it is not waited for."""
_REAL = (
    "keyring.backends.SecretService",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
    "keyring.backends.libsecret",
)
"""Backends that ask nobody anything; others prompt on a terminal that a daemon does not have."""


_SILENT = "the system's keyring does not answer; unlock it, or sign in again: jmem login"
log = logging.getLogger(__name__)


class FileKeeper:
    """A file with mode 0600 in the user's folder, which is 0700."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def where(self) -> str:
        """Said to the person who signs in."""
        return f"the file {self.path}, which only you can read (there is no keyring)"

    def load(self) -> str | None:
        """What is kept; None for nothing. Raises StorageFailed."""
        try:
            return self.path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_failed(error, f"what proves the sign-in can't be read in {self.path}") from None
        except UnicodeDecodeError:
            raise StorageFailed(f"{self.path} is damaged: it is no text", code="damaged", fix="jmem login") from None

    def save(self, token: str) -> None:
        """Keep it; durable when this returns. Raises StorageFailed, and what was kept before stays."""
        part = self.path.with_name(self.path.name + ".part")
        try:
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(token + "\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            sync_file(self.path.parent)
        except OSError as error:
            raise disk_failed(error, f"the sign-in can't be kept in {self.path}") from None

    def forget(self) -> None:
        """Nothing is kept from here on. Raises StorageFailed."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_failed(error, f"{self.path} can't be removed") from None


class KeyringKeeper:
    """An entry of the system's keyring."""

    kind = "keyring"

    def __init__(self, backend: Any, name: str) -> None:
        self._backend, self._name = backend, name

    @property
    def where(self) -> str:
        """Said to the person who signs in."""
        return f"the system's keyring ({type(self._backend).__module__.rpartition('.')[2]})"

    def load(self) -> str | None:
        """What is kept; None for nothing. Raises Offline, as the others do, when the keyring does not answer."""
        found: str | None = self._ask(self._backend.get_password, SERVICE, self._name)
        return found

    def save(self, token: str) -> None:
        """Keep it; durable when this returns."""
        self._ask(self._backend.set_password, SERVICE, self._name, token)

    def forget(self) -> None:
        """Nothing is kept from here on."""
        from keyring.errors import PasswordDeleteError

        def run() -> None:
            with suppress(PasswordDeleteError):
                self._backend.delete_password(SERVICE, self._name)

        self._ask(run)

    @staticmethod
    def _ask(work: Callable[..., T], *given: str) -> T:
        answer = _within(PATIENCE_S, lambda: (work(*given),))
        if answer is None:
            raise Offline(_SILENT)
        return answer[0]


def keeper(folder: Path, name: str, kind: str | None = None) -> FileKeeper | KeyringKeeper:
    """The safest place that works now, the keyring being tried with a value of its own before it is trusted; or the place
    of the `kind` that was chosen at the sign-in. Raises Offline when the keyring does not answer any more."""
    if kind == FileKeeper.kind:
        return FileKeeper(folder / FILE)
    backend = _within(PATIENCE_S, lambda: _proven(name))
    if backend is not None:
        return KeyringKeeper(backend, name)
    if kind == KeyringKeeper.kind:
        raise Offline(_SILENT)
    return FileKeeper(folder / FILE)


def _proven(name: str) -> Any | None:
    import keyring
    from keyring.errors import KeyringError

    backend = keyring.get_keyring()
    for one in getattr(backend, "backends", (backend,)):  # the chainer tries several
        if not type(one).__module__.startswith(_REAL):
            continue
        probe = f"{name} probe"
        try:
            one.set_password(SERVICE, probe, "probe")
            good = one.get_password(SERVICE, probe) == "probe"
            one.delete_password(SERVICE, probe)
        except (KeyringError, OSError, RuntimeError):
            continue
        if good:
            return one
    return None


def _within(seconds: float, work: Callable[[], T]) -> T | None:
    """What the work gives, or None when it takes longer or fails."""
    found: list[T] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as failure:
            log.warning("the system's keyring fails", exc_info=failure)

    thread = threading.Thread(target=run, daemon=True, name="jmem-keyring")
    thread.start()
    thread.join(seconds)
    return found[0] if found else None

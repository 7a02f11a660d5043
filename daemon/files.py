"""Small files written whole: a reader sees the old one or the new one, and a crash leaves one of the two."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from jmem.core.errors import StorageFailed
from jmem.core.store.failures import disk_failed


def write_json(path: Path, value: Any) -> None:
    """Replace `path` durably (0600); raises StorageFailed."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise disk_failed(error, f"{path} can't be written") from None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`, None when there is no such file; raises StorageFailed when it is no JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", fix="jmem doctor") from None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StorageFailed(f"{path} is damaged: it is not a JSON object", code="damaged", fix="jmem doctor")
    return value

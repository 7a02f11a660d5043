"""A file that is there whole, or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager

from jmem.core.errors import Conflict, Invalid, JmemError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextmanager
def whole_file(path: str, *, replace: bool = True) -> Iterator[BinaryIO]:
    """A file to write, that takes its name and stays once all is written: whatever fails before leaves what was there.

    Raises Invalid for a folder, Conflict `exists` where one is there that may not be replaced, JmemError `file`.
    """
    import tempfile

    if os.path.isdir(path):
        raise Invalid(f"{path} is a folder", code="usage", fix="name a file")
    if not replace and os.path.lexists(path):
        raise Conflict(f"{path} is there already", code="exists", fix="another name, or --force to replace it")
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".jmem-", dir=os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise JmemError(f"{path} can't be written: {error.strerror}", code="file") from None
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        raise JmemError(f"{path} can't be written: {error.strerror or error}", code="file") from None
    except BaseException:
        os.unlink(temporary)
        raise

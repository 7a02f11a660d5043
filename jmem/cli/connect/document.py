"""A client's file as text that can be asked and edited by path, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from jmem.cli.connect import files, jsonc, toml
from jmem.cli.connect.place import Place
from jmem.core.errors import Invalid


@dataclass(frozen=True)
class Document:
    """The text of one place. Every method raises Invalid when the text can't be parsed; nothing is written."""

    place: Place
    text: str

    @staticmethod
    def of(place: Place, snapshot: files.Snapshot) -> Document:
        """The document of a file as it was read; an absent file is an empty one."""
        try:
            return Document(place, (snapshot.content or b"").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _broken(place, f"it is not UTF-8 at byte {error.start}") from None

    def get(self, path: Sequence[str]) -> Any:
        """The value at a path of keys, None where there is none."""
        with _naming(self.place):
            return toml.get(self.text, path) if self.place.form == "toml" else jsonc.get(self.text, path)

    def put(self, path: Sequence[str], value: dict[str, Any]) -> Document:
        """The document with `value` at `path`."""
        with _naming(self.place):
            if self.place.form == "toml":
                return replace(self, text=toml.put(self.text, path, value))
            return replace(self, text=jsonc.put(self.text, path, value, strict=self.place.form == "json"))

    def remove(self, path: Sequence[str]) -> Document:
        """The document without what stands at `path`."""
        with _naming(self.place):
            editor = toml.remove if self.place.form == "toml" else jsonc.remove
            return replace(self, text=editor(self.text, path))


@contextmanager
def _naming(place: Place) -> Iterator[None]:
    try:
        yield
    except jsonc.Broken as error:
        raise _broken(place, str(error)) from None


def _broken(place: Place, reason: str) -> Invalid:
    return Invalid(
        f"{place.path} can't be used: {reason}; nothing was changed",
        code="broken_client_config",
        fix=f"mend {place.path} and run this again",
    )

"""A file that only a key opens, and in which no bit can be changed, left out or moved unnoticed.

    jmem-backup 1\\n | key id (8 bytes) | salt (32 bytes) | sealed pieces

The key of a file is HKDF-SHA256 of BACKUP_KEY and the salt. What is written is compressed (zlib) and sealed in pieces of
64 KiB with ChaCha20-Poly1305. A piece's nonce is its number and whether it is the last, so that a file cut short is known
to be; the bytes before the pieces are authenticated with each of them.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jmem.core.errors import Invalid, StorageFailed

MAGIC = b"jmem-backup 1\n"
PIECE = 64 * 1024
_TAG, _ID, _SALT = 16, 8, 32
_PREFIX = "jmb_"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """The secret of backups. `id` tells which one it is, and nothing about it."""

    secret: bytes
    id: bytes

    def of(self, salt: bytes) -> ChaCha20Poly1305:
        """What seals one file."""
        return ChaCha20Poly1305(_derived(self.secret, salt, b"jmem backup", 32))


class Damaged(StorageFailed):
    """The file is not as it was written."""

    code = "backup_damaged"


def new_key() -> str:
    """A key as BACKUP_KEY has it."""
    return _PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def keys(setting: str) -> list[Key]:
    """The keys of a BACKUP_KEY, with commas between: the first seals, all of them open. Raises Invalid `setting`."""
    found = []
    for text in filter(None, (part.strip() for part in setting.split(","))):
        try:
            secret = base64.urlsafe_b64decode(text.removeprefix(_PREFIX) + "=")
        except (binascii.Error, ValueError):
            secret = b""
        if not text.startswith(_PREFIX) or len(secret) != 32:
            raise Invalid("BACKUP_KEY is no key of backups", code="setting", field="BACKUP_KEY",
                          fix="make one: python -m hosted backup-key")  # fmt: skip
        found.append(Key(secret, _derived(secret, b"", b"jmem backup id", _ID)))
    if not found:
        raise Invalid("BACKUP_KEY is not set", code="setting", field="BACKUP_KEY",
                      fix="make one, and keep it elsewhere too: python -m hosted backup-key")  # fmt: skip
    return found


class Writer:
    """Seals what is written to it into `file`; nothing is whole before `close`."""

    def __init__(self, file: BinaryIO, key: Key) -> None:
        salt = secrets.token_bytes(_SALT)
        self._file, self._header = file, MAGIC + key.id + salt
        self._cipher, self._number = key.of(salt), 0
        self._waiting, self._zlib = bytearray(), zlib.compressobj(6)
        file.write(self._header)
        self.size = len(self._header)
        """bytes that were written"""

    def write(self, data: bytes) -> None:
        """Add to what is sealed."""
        self._waiting += self._zlib.compress(data)
        while len(self._waiting) > PIECE:
            self._seal(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]

    def close(self) -> None:
        """Seal the rest; the file itself stays open."""
        self._waiting += self._zlib.flush()
        while len(self._waiting) > PIECE:
            self._seal(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, piece: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), piece, self._header)
        self._file.write(sealed)
        self._number, self.size = self._number + 1, self.size + len(sealed)


def opened(file: BinaryIO, known: Sequence[Key]) -> Iterator[bytes]:
    """What was written, piece by piece. Raises Invalid `wrong_key`, Damaged; what came before that is as it was written."""
    header = file.read(len(MAGIC) + _ID + _SALT)
    if not header.startswith(MAGIC) or len(header) < len(MAGIC) + _ID + _SALT:
        raise Invalid("this is no backup of jmem's hosted backend", code="no_backup")
    id, salt = header[len(MAGIC) : len(MAGIC) + _ID], header[len(MAGIC) + _ID :]
    key = next((each for each in known if each.id == id), None)
    if key is None:
        raise Invalid(f"the backup was made with another key ({id.hex()})", code="wrong_key", field="BACKUP_KEY",
                      fix="add that key to BACKUP_KEY, after a comma")  # fmt: skip
    cipher, unpack, number = key.of(salt), zlib.decompressobj(), 0
    piece = file.read(PIECE + _TAG)
    while True:
        following = file.read(PIECE + _TAG)
        try:
            plain = cipher.decrypt(_nonce(number, not following), piece, header)
            yield unpack.decompress(plain)
        except (InvalidTag, ValueError, zlib.error) as error:
            raise Damaged("the backup was cut short or changed", fix="take another copy of it") from error
        if not following:
            break
        piece, number = following, number + 1
    yield unpack.flush()
    if not unpack.eof:
        raise Damaged("the backup ends too early", fix="take another copy of it")


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))


def _derived(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=purpose).derive(secret)

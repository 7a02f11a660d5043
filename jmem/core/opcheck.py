"""What every replica asks of an op made elsewhere, and how one of its own is sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from jmem.core.clock import STAMP
from jmem.core.errors import Invalid, JmemError, TooLarge
from jmem.core.model import FIELDS, MAX_OP_BYTES, Op, canonical, check_field, is_id, plain_json

_KNOWN = frozenset(FIELDS)
_PLAIN = _KNOWN - {"metadata"}
"""fields whose values have neither numbers nor objects, so that plain JSON is canonical"""


def seal(op: Op) -> tuple[Op, str]:
    """An op of ours with its digest, and its canonical text: what `Op.sealed` and `Op.text` give, in one pass."""
    fields = ",".join(f'"{name}":{_value(name, op.set[name])}' for name in sorted(op.set))
    head = f'{{"base":{plain_json(op.base) if op.base else "[]"},"client":{plain_json(op.client)}'
    purge = ',"purge":true' if op.purge else ""
    tail = f'"id":"{op.id}","nonce":"{op.nonce}"{purge},"set":{{{fields}}},"stamp":"{op.stamp}","v":{op.v}}}'
    digest = "sha256:" + hashlib.sha256(f"{head},{tail}".encode()).hexdigest()
    sealed = Op(op.stamp, op.id, op.set, op.base, op.client, op.nonce, op.purge, digest, op.v)
    return sealed, f'{head},"digest":"{digest}",{tail}'


def _value(name: str, value: Any) -> str:
    return plain_json(value) if name in _PLAIN else canonical(value)


def is_blank(op: Op) -> bool:
    """Whether this is what a purge leaves of an op."""
    return not op.set and not op.base and not op.nonce


def text_of(op: Op) -> str:
    """The text that is stored; raises Invalid for what can't be written as JSON in UTF-8, TooLarge."""
    try:
        text = op.text()
        size = len(text.encode())
    except (RecursionError, UnicodeEncodeError, TypeError):
        raise Invalid("not an op: it is no valid JSON", code="bad_op", stamp=op.stamp) from None
    if size > MAX_OP_BYTES:
        raise TooLarge("an op is at most 128 KiB", limit=MAX_OP_BYTES, stamp=op.stamp)
    return text


def checked_text(op: Op) -> str:
    """As `text_of` and `check_digest`, in one pass for an op of known fields."""
    if is_blank(op) or op.extra or not op.set.keys() <= _KNOWN or not op.nonce.isalnum():
        text = text_of(op)
        check_digest(op)
        return text
    try:
        sealed, text = seal(op)
    except (RecursionError, UnicodeEncodeError, TypeError, ValueError, JmemError):
        sealed, text = None, ""
    if sealed is None or sealed.digest != op.digest or len(text) * 4 > MAX_OP_BYTES:
        text = text_of(op)  # says what is wrong with it
        check_digest(op)
    return text


def check_shape(op: Op) -> None:
    """Raise Invalid `bad_op` where a field has the wrong form, `upgrade_required` for a newer kind of op."""
    if not (
        isinstance(op.v, int) and isinstance(op.stamp, str) and STAMP.fullmatch(op.stamp)
        and isinstance(op.id, str) and is_id(op.id) and isinstance(op.set, Mapping)
        and all(isinstance(b, str) and STAMP.fullmatch(b) for b in op.base)
        and isinstance(op.client, str) and isinstance(op.nonce, str) and isinstance(op.digest, str)
    ):  # fmt: skip
        raise Invalid("not an op: a field has the wrong form", code="bad_op", stamp=str(op.stamp)[:40])
    if op.v != 1:
        raise Invalid("the op was made by a newer jmem", code="upgrade_required", stamp=op.stamp,
                      fix="./install.sh   upgrades jmem to the newest version")  # fmt: skip


def check_digest(op: Op) -> None:
    """Raise Invalid `bad_digest` unless the op is as it was sealed, or is what a purge left."""
    if not is_blank(op) and op.sealed().digest != op.digest:
        raise Invalid("the op does not match its digest: it was altered or cut", code="bad_digest", stamp=op.stamp)


def check_fields(op: Op) -> None:
    """Raise Invalid or TooLarge unless every known field has a value in its stored form."""
    for name, value in op.set.items():
        if name not in _KNOWN:
            continue
        try:
            same = check_field(name, value) == value
        except JmemError as error:
            error.detail["stamp"] = op.stamp
            raise
        if not same:
            # a value that each replica would have to tidy up might be tidied differently by each
            raise Invalid(f"{name} is not in its stored form", code="bad_op", field=name, stamp=op.stamp)

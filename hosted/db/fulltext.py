"""How a text becomes the words that Postgres searches, as SQL that migrations make functions of.

Words are runs of letters and digits, as in the local full-text index: Postgres' own parser would keep an address, a path
or a compound in one piece. Case and accents are dropped by a table rather than by the database's locale, which differs
between servers.
"""

from __future__ import annotations

import unicodedata

from jmem.core.texts import MONTHS

_PUNCTUATION = "".join(chr(c) for c in range(33, 127) if not chr(c).isalnum())
_LETTERS = (range(0x41, 0x5B), range(0xC0, 0x250), range(0x370, 0x530), range(0x1E00, 0x1F00))
_TYPOGRAPHY = "\xa0«»¿¡·–—‘’‚“”„…•‹›、。，！？「」（）：；"


def _plain(char: str) -> str:
    base = unicodedata.normalize("NFD", char)[0].lower()
    return base if len(base) == 1 else char


def _mapped(chars: str) -> tuple[str, str]:
    pairs = [(c, _plain(c)) for c in chars if c.isalpha() and _plain(c) != c]
    pairs += [(c, " ") for c in chars if not c.isalpha() and unicodedata.category(c)[0] in "PSZ"]
    return "".join(c for c, _ in pairs), "".join(c for _, c in pairs)


def _translate(chars: str) -> str:
    source, target = (part.replace("'", "''") for part in _mapped(chars))
    return f"translate(given, '{source}', '{target}')"


_ASCII = _PUNCTUATION
_MORE = _PUNCTUATION + _TYPOGRAPHY + "".join(chr(c) for letters in _LETTERS for c in letters)
_MONTHS = ", ".join(f"'{name}'" for name in MONTHS)

PLAIN = f"""CREATE FUNCTION jmem.plain(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN octet_length(given) = length(given) THEN {_translate(_ASCII)} ELSE {_translate(_MORE)} END"""
"""Case falls in Postgres' own dictionary for ASCII, here for the rest."""

WORDS_OF = f"""CREATE FUNCTION jmem.words_of(content text, speaker text, occurred_at text, tags text[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('pg_catalog.english', jmem.plain(concat_ws(' ',
        CASE WHEN occurred_at IS NOT NULL THEN substr(occurred_at, 9, 2) END,
        CASE WHEN substr(occurred_at, 6, 2) ~ '^[01][0-9]$' THEN (ARRAY[{_MONTHS}])[substr(occurred_at, 6, 2)::int] END,
        CASE WHEN occurred_at IS NOT NULL THEN substr(occurred_at, 1, 4) END,
        speaker, content, array_to_string(tags, ' '))))"""
"""The same text as `jmem.core.texts.search_text`: people ask for dates in words, and for who said something."""

TERM = "plainto_tsquery('pg_catalog.english', jmem.plain({}))"
"""One word of a question; matches nothing when it is a stop word to Postgres."""

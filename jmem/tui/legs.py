"""What each leg of a search said of a hit, in words; of its `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jmem.tui import shown


def words(explain: Mapping[str, Any]) -> str:
    """What was found of the question's words."""
    leg = explain["text"]
    score = leg["score"]
    if not score:
        said = "none of the words of the question stands in it"
    else:
        rank = f"no. {leg['rank']} by words" if leg["rank"] else "not among the best by words"
        terms = ", ".join(explain.get("terms", ())[:6])
        said = f"{rank}, bm25 {score:.2f}" + (f"; looked for {terms}" if terms else "")
    if dropped := explain.get("terms_dropped"):
        said += f"; too common to tell: {', '.join(dropped[:6])}"
    return shown.one_line(said)


def meaning(explain: Mapping[str, Any]) -> str:
    """How near it is by meaning."""
    leg = explain["vector"]
    score = leg["score"]
    if score is None:
        return "not compared by meaning"
    rank = f"no. {leg['rank']} by meaning" if leg["rank"] else "not among the nearest by meaning"
    return f"{rank}, {max(score, 0):.0%} alike"

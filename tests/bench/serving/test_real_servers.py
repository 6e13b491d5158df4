"""Every server that is here starts, answers what the model says, and is gone afterwards.

Tests that need an environment of `make peers` skip where it is not there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.bench import models, worker
from limbeck.bench.serving import answers, files, server, starting, texts
from limbeck.bench.serving.contestants import CONTESTANTS, contestant
from limbeck.errors import EngineError

ROOT = Path(__file__).resolve().parents[3]
SHAPE = models.Shape(layers=2, hidden=64, heads=2, ffn=128, vocab=600, positions=512)

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> files.Files:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    place = tmp_path_factory.mktemp("serving")
    tokenizer = models.write_model(place / "tokenizer", SHAPE) / "tokenizer.json"
    return files.write(place, SHAPE, tokenizer)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_servers_compute_the_model(
    name: str, made: files.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PEERS", ROOT / ".peers")
    each = contestant(name)
    try:
        worker.interpreter(each.environment)
    except EngineError as error:
        pytest.skip(str(error))
    asked = texts.synthetic(made.tokenizer, count=60).numbered(answers.COUNT)
    wanted = answers.references(made, asked)
    # The last of a grid batches where its server can.
    with starting.started(each, each.grid[-1], made, tmp_path) as running:
        error = answers.error(each, running, asked, wanted)
        assert 0 <= error < answers.MAX_ERROR["int8"]
        assert running.memory_mb() > 10
    with pytest.raises(OSError, match="refused"):
        server.ask(running.port, "GET", "/")

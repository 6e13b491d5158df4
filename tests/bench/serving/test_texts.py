"""What is asked, and how each server is asked it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.bench import models
from limbeck.bench.serving import asking, files, texts
from limbeck.bench.serving.contestants import BUDGET, CONTESTANTS, contestant, question
from limbeck.bench.serving.peers.settings import Settings
from limbeck.errors import InputError
from limbeck.loadtest import UNIQUE


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = models.Shape(layers=1, hidden=32, heads=2, ffn=64, vocab=600, positions=64)
    return models.write_model(tmp_path_factory.mktemp("hf"), shape) / "tokenizer.json"


def test_synthetic_texts_have_mixed_lengths_and_no_text_comes_twice(tokenizer: Path) -> None:
    made = texts.synthetic(tokenizer, count=500)
    words = sorted(len(text.split()) - 1 for text in made.texts)
    assert words[0] >= texts.FEWEST_WORDS
    assert words[-1] <= texts.MOST_WORDS
    assert 40 < words[250] < 56
    assert words[-10] > 2 * words[250]
    assert all(text.startswith(f"{UNIQUE} ") for text in made.texts)
    assert texts.synthetic(tokenizer, count=500) == made
    sent = made.numbered(1200)
    assert len(set(sent)) == 1200
    assert not any(UNIQUE in text for text in sent)


def test_texts_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "set" / "test.txt"
    file.parent.mkdir()
    file.write_text("one\ntwo\n", encoding="utf-8")
    made = texts.from_file(file)
    assert made.name == "set-test"
    assert sorted(made.texts) == [f"{UNIQUE} one", f"{UNIQUE} two"]
    with pytest.raises(InputError):
        texts.from_file(tmp_path / "none.txt")


def test_a_tokenizer_that_cannot_be_used(tmp_path: Path, tokenizer: Path) -> None:
    shape = models.Shape(vocab=10)
    with pytest.raises(InputError, match="has 600 entries; the test model has 10 rows"):
        files.write(tmp_path, shape, tokenizer)
    broken = tmp_path / "broken.json"
    broken.write_text("[]")
    with pytest.raises(InputError, match=r"not a tokenizer\.json"):
        files.write(tmp_path, shape, broken)
    few = tmp_path / "few.json"
    few.write_text(json.dumps({"model": {"vocab": {"ab": 0}}}))
    with pytest.raises(InputError, match="only 1 words"):
        texts.synthetic(few)


ANSWERS = {
    "classify": b'{"predictions": [[0.25, 0.75]]}',
    "bento": b"[[0.25, 0.75]]",
    "oip": b'{"outputs": [{"shape": [1, 2], "data": [0.25, 0.75]}]}',
}


@pytest.mark.parametrize("dialect", ANSWERS)
def test_every_dialect_is_asked_and_read(dialect: str) -> None:
    asked = question(dialect, "a 'text'")  # type: ignore[arg-type]
    assert "a 'text'" in json.dumps(json.loads(asked.body))
    assert asked.probabilities(ANSWERS[dialect]) == [0.25, 0.75]
    sent = asking.request(dialect, f"{UNIQUE} x", 50)  # type: ignore[arg-type]
    assert sent.deadline_ms == 50
    assert UNIQUE.encode() in sent.body
    assert sent.check is not None
    assert sent.check(ANSWERS[dialect])
    for bad in (b"", b"{}", b"[]", b'{"error": "x"}', b'{"predictions": [[], []]}'):
        assert not sent.check(bad)


def test_limbeck_alone_is_told_the_deadline() -> None:
    sent = asking.request("limbeck", "x", 50)
    assert json.loads(sent.body) == {"inputs": "x", "timeout_ms": 50}
    assert sent.path == "/v1/models/texts/predict"
    assert sent.check is not None
    assert sent.check(b'{"outputs": {"label": "a", "score": 0.5}}')
    assert not sent.check(b'{"outputs": {"label": "a", "score": 7}}')
    assert not sent.check(b'{"error": {"code": "overloaded"}}')


def test_nobody_has_more_threads_than_the_budget() -> None:
    for each in CONTESTANTS.values():
        assert each.grid
        assert len(set(each.grid)) == len(each.grid)
        for config in each.grid:
            assert config.workers * config.threads * max(config.slots, 1) <= 2 * BUDGET
            assert config.workers * config.threads <= BUDGET
    with pytest.raises(InputError, match="no server 'x'"):
        contestant("x")


def test_settings_reach_the_processes_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_BENCH_SERVER", "")
    words = ["--port", "1", "--model", "m", "--tokenizer", "t", "--workers", "2", "--threads", "1"]
    given = Settings.from_arguments([*words, "--wait-ms", "2.5", "--batch", "4"])
    assert (given.wait_ms, given.batch, given.slots) == (2.5, 4, 0)
    assert Settings.from_environment() == given


def test_peers_servers_need_no_more_of_limbeck_than_numpy_allows() -> None:
    code = (
        "import sys\n"
        "import limbeck.bench.serving.peers.settings, limbeck.bench.serving.peers.texts\n"
        "import limbeck.bench.serving.peers.fastapi_onnxruntime\n"
        "import limbeck.bench.serving.peers.fastapi_transformers\n"
        "ours = {name for name in sys.modules if name.startswith('limbeck.')}\n"
        "print(*sorted(name for name in ours if 'bench.serving.peers' not in name))\n"
        "print(*sorted({'torch', 'transformers', 'tokenizers', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, heavy = done.stdout.splitlines()
    assert ours.split() == ["limbeck.bench", "limbeck.bench.serving"]
    assert heavy == ""

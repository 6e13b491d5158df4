"""embed: a file of texts -> a file of vectors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import limbeck
from limbeck.cli import main
from limbeck.serve.cache import Cache, Hit, Keys
from limbeck.serve.cache.precomputed import read

TEXTS = [
    "the boat is small",
    "a long walk by the river",
    "",
    "ünïcode 👋 text",
    "the boat is small",
]


@pytest.fixture
def model(zoo):
    return str(zoo("bert", "feature-extraction"))


def _run(capsys, *arguments: str, code: int = 0) -> str:
    assert main.run(["embed", *arguments]) == code
    out, err = capsys.readouterr()
    assert not out
    return err


def _jsonl(path, texts=TEXTS, name="text"):
    path.write_text("".join(json.dumps({name: text, "id": "7"}) + "\n" for text in texts))
    return str(path)


def _found(out, pipe, texts, **options):
    cache, keys = Cache(0, prepared=[read(out)]), Keys(pipe)
    hits = [cache.claim(keys.under(options)(text), 0.0) for text in texts]
    assert all(isinstance(hit, Hit) for hit in hits)
    return hits


@pytest.mark.parametrize("size", ["1", "64"])
def test_vectors_are_those_of_the_pipeline(model, tmp_path, capsys, size):
    texts = [*TEXTS, *(f"{'word ' * (n * 7 % 300)}the {n}" for n in range(600))]
    out = tmp_path / "a.vectors"
    path = _jsonl(tmp_path / "a.jsonl", texts)
    err = _run(capsys, path, "--model", model, "--out", str(out), "--batch-size", size)
    assert "604 vectors of 605 texts" in err
    pipe = limbeck.pipeline("sentence-embedding", model)
    read(out).check([Keys(pipe)])
    assert len(read(out)) == 604
    tokenizer = pipe.tokenizer
    for text, hit in zip(texts, _found(out, pipe, texts), strict=True):
        (encoded,) = tokenizer.encode([text], max_tokens=160)
        assert hit.tokens == len(encoded)
    for text, hit in zip(texts[:20], _found(out, pipe, texts[:20]), strict=True):
        assert hit.value.tobytes() == pipe(text).tobytes()


def test_options(model, tmp_path, capsys):
    out = tmp_path / "a.vectors"
    path = _jsonl(tmp_path / "a.jsonl", name="review")
    options = ["--max-length", "5", "--normalize", "--precision", "int8", "--text-column", "review"]
    _run(capsys, path, "-m", model, "-o", str(out), *options, "--threads", "1")
    pipe = limbeck.pipeline("sentence-embedding", model, precision="int8")
    asked = {"max_length": 5, "normalize_embeddings": True}
    for text, hit in zip(TEXTS, _found(out, pipe, TEXTS, **asked), strict=True):
        assert hit.value.tobytes() == pipe(text, **asked).tobytes()
        assert hit.tokens <= 5


def test_from_standard_input(model, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "limbeck.cli.main", "embed", "-", "-m", model, "-o", "a.vectors"],
        input=b"eins\nzwei\neins\n",
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / "a.vectors")) == 2


def test_bad_rows_are_told_and_left_out(model, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\nnot json\n{"text": "\\ud83d"}\n{"text": "fine too"}\n')
    out = tmp_path / "a.vectors"
    err = _run(capsys, str(path), "-m", model, "-o", str(out), code=2)
    assert f"{path}:2: not JSON" in err
    assert "2 rows could not be read" in err
    assert len(read(out)) == 2


def test_another_models_file_may_be_replaced_but_no_other(model, zoo, tmp_path, capsys):
    path, out = _jsonl(tmp_path / "a.jsonl"), str(tmp_path / "a.vectors")
    _run(capsys, path, "-m", str(zoo("roberta", "feature-extraction")), "-o", out)
    _run(capsys, path, "-m", model, "-o", out)
    read(out).check([Keys(limbeck.pipeline("sentence-embedding", model))])
    err = _run(capsys, path, "-m", model, "-o", path, code=2)
    assert "did not write it" in err
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["text"] == TEXTS[0]


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("", [], "no text could be read"),
        ("not json\n", [], "no text could be read"),
        ('{"text": "a"}\n', ["--text-column", "nowhere"], "nowhere"),
        ('{"text": "a"}\n', ["--max-length", "0"], "max_length"),
        ('{"text": "a"}\n', ["--max-length", "100000"], "positions"),
        ('{"text": "a"}\n', ["--batch-size", "0"], "batch_size"),
        ('{"text": "a"}\n', ["--precision", "int3"], "precision"),
        ('{"text": "a"}\n', ["--input-format", "word"], "input-format"),
    ],
)
def test_requests_that_make_no_sense(model, tmp_path, capsys, content, arguments, said):
    (tmp_path / "a.jsonl").write_text(content)
    out = tmp_path / "a.vectors"
    err = _run(capsys, str(tmp_path / "a.jsonl"), "-m", model, "-o", str(out), *arguments, code=2)
    assert said in err
    assert [it.name for it in tmp_path.iterdir()] == ["a.jsonl"]


def test_no_texts_no_place(model, tmp_path, capsys):
    err = _run(capsys, "nowhere.csv", "-m", model, "-o", str(tmp_path / "a"), code=2)
    assert "nowhere.csv is not there" in err
    err = _run(capsys, "nowhere.csv", "-m", model, "-o", str(tmp_path / "no" / "a"), code=2)
    assert "no directory" in err

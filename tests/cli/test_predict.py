"""predict: inputs, outputs and options, on small random models."""

from __future__ import annotations

import csv
import io
import json
import select
import subprocess
import sys
import time

import numpy as np
import pytest

import limbeck
from limbeck import artifact
from limbeck.cli import main
from limbeck.runtimes import open_source
from limbeck.spec import ModelSpec, TaskSpec, Threshold

TEXTS = [
    "the boat is small",
    "a long walk by the river",
    "",
    "ünïcode 👋 text",
    "the boat is small",
]


@pytest.fixture
def model(zoo):
    return str(zoo("bert", "text-classification"))


@pytest.fixture(scope="session")
def with_threshold(zoo, tmp_path_factory):
    """An artifact that stores a decision threshold, in the middle of what it answers."""
    source = open_source(zoo("bert", "text-classification"))
    task = source.spec.task
    label = task.labels[0]
    answers = limbeck.pipeline("text-classification", str(source.directory), top_k=None)(TEXTS)
    scores = sorted(next(it["score"] for it in some if it["label"] == label) for some in answers)
    fields = {name: getattr(task, name) for name in task.__dataclass_fields__}
    fields["threshold"] = Threshold(label=label, value=scores[2], false_alarm_rate=0.001)
    spec = ModelSpec(encoder=source.spec.encoder, task=TaskSpec(**fields), quant=source.spec.quant)
    path = tmp_path_factory.mktemp("artifact") / "model"
    artifact.write(
        path,
        spec=spec,
        weights=source.weights,
        tokenizer_json=source.tokenizer_json(),
        lineage={"made": "by a test"},
    )
    artifact.write_measured(path, {"accuracy": 0.75})
    return str(path)


def _run(capsys, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main.run(list(arguments)) == code
    return capsys.readouterr()


def _records(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def _jsonl(path, texts=TEXTS, **columns):
    with open(path, "w") as file:
        for index, text in enumerate(texts):
            record = {"text": text} | {name: values[index] for name, values in columns.items()}
            file.write(json.dumps(record) + "\n")
    return str(path)


def test_answers_are_those_of_the_pipeline(model, capsys):
    out, err = _run(capsys, "predict", model, *TEXTS)
    wanted = limbeck.pipeline("text-classification", model)(TEXTS)
    found = _records(out)
    assert [{"label": it["label"], "score": it["score"]} for it in found] == wanted
    assert [it["line"] for it in found] == [1, 2, 3, 4, 5]
    assert not err


@pytest.mark.parametrize("size", [1, 2, 64])
def test_a_file_in_order_whatever_the_batch(model, tmp_path, capsys, size):
    texts = [f"{'word ' * (index * 7 % 13)}the {index}" for index in range(40)]
    path = _jsonl(tmp_path / "a.jsonl", texts, id=[f"n{index}" for index in range(40)])
    out, _ = _run(
        capsys, "predict", model, "--input", path, "--keep", "id", "--batch-size", str(size)
    )
    found = _records(out)
    assert [it["id"] for it in found] == [f"n{index}" for index in range(40)]
    wanted = limbeck.pipeline("text-classification", model)(texts)
    assert [it["score"] for it in found] == [it["score"] for it in wanted]


def test_csv_in_csv_out(model, tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text('nr,review\n7,"the boat, and\nmore"\n8,small\n')
    out, _ = _run(capsys, "predict", model, "-i", str(path), "--keep", "nr", "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["nr"] for row in rows] == ["7", "8"]
    assert [row["line"] for row in rows] == ["2", "4"]
    assert set(rows[0]) == {"line", "nr", "label", "score"}
    assert 0 < float(rows[0]["score"]) <= 1


def test_parquet_in(model, tmp_path, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    import datetime

    parquet.write_table(
        pyarrow.table({"text": TEXTS, "day": [datetime.date(2024, 5, n) for n in range(1, 6)]}),
        tmp_path / "a.parquet",
    )
    out, _ = _run(capsys, "predict", model, "-i", str(tmp_path / "a.parquet"), "--keep", "day")
    assert [it["day"] for it in _records(out)] == [f"2024-05-0{n}" for n in range(1, 6)]


@pytest.mark.parametrize(("top_k", "count"), [("2", 2), ("0", None)])
def test_top_k(model, capsys, top_k, count):
    out, _ = _run(capsys, "predict", model, "--top-k", top_k, *TEXTS)
    labels = limbeck.load(model).spec.task.labels
    for record in _records(out):
        scores = [it["score"] for it in record["labels"]]
        assert len(scores) == (count or len(labels))
        assert scores == sorted(scores, reverse=True)


def test_threshold_gives_a_decision(with_threshold, capsys):
    out, _ = _run(capsys, "predict", with_threshold, *TEXTS)
    assert {it["decision"] for it in _records(out)} == {True, False}
    out, _ = _run(capsys, "predict", with_threshold, "--format", "table", *TEXTS)
    flagged = [line.split()[1] == "!" for line in out.splitlines()]
    assert True in flagged
    assert False in flagged


def test_window_reads_the_end_of_a_long_text(model, tmp_path, capsys):
    long = "the boat is small " * 400 + "river"
    out, _ = _run(capsys, "predict", model, long)
    cut = _records(out)[0]
    out, _ = _run(capsys, "predict", model, "--window", "--stride", "16", long)
    whole = _records(out)[0]
    wanted = limbeck.pipeline("text-classification", model, window=True, stride=16)([long])[0]
    assert whole["score"] == wanted["score"] != cut["score"]


def test_pairs(model, tmp_path, capsys):
    path = _jsonl(tmp_path / "a.jsonl", other=TEXTS[::-1])
    out, _ = _run(capsys, "predict", model, "-i", path, "--pair-column", "other")
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]
    wanted = limbeck.pipeline("text-classification", model)(pairs)
    assert [it["score"] for it in _records(out)] == [it["score"] for it in wanted]


def test_token_classification(zoo, capsys):
    model = str(zoo("distilbert", "token-classification"))
    out, _ = _run(capsys, "predict", model, "--aggregation", "simple", *TEXTS)
    found = [it["entities"] for it in _records(out)]
    pipe = limbeck.pipeline("token-classification", model, aggregation_strategy="simple")
    assert found == json.loads(json.dumps(pipe(TEXTS), default=lambda value: value.item()))
    out, _ = _run(capsys, "predict", model, "-f", "csv", *TEXTS)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {"line", "entity", "score", "word", "start", "end"} <= set(rows[0])


def test_vectors(zoo, capsys):
    model = str(zoo("bert", "text-classification"))
    out, _ = _run(capsys, "predict", model, "--task", "sentence-embedding", *TEXTS)
    found = np.array([it["embedding"] for it in _records(out)], dtype=np.float32)
    wanted = limbeck.pipeline("sentence-embedding", model)(TEXTS)
    np.testing.assert_array_equal(found, wanted)
    out, err = _run(
        capsys, "predict", model, "--task", "sentence-embedding", "-f", "csv", "x", code=2
    )
    assert "jsonl" in err
    assert not out


def test_int8_when_asked(model, capsys):
    full, _ = _run(capsys, "predict", model, *TEXTS)
    small, _ = _run(capsys, "predict", model, "--precision", "int8", *TEXTS)
    assert full != small


def test_output_file_is_whole_or_absent(model, tmp_path, capsys):
    path = _jsonl(tmp_path / "a.jsonl")
    target = tmp_path / "answers.jsonl"
    out, err = _run(capsys, "predict", model, "-i", path, "-o", str(target))
    assert not out
    assert "5 answers" in err
    assert len(_records(target.read_text())) == 5
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    before = target.read_text()
    (tmp_path / "b.jsonl.gz").write_bytes(b"\x1f\x8b broken")
    _run(capsys, "predict", model, "-i", str(tmp_path / "b.jsonl.gz"), "-o", str(target), code=2)
    assert target.read_text() == before
    assert {it.name for it in tmp_path.iterdir()} == {"a.jsonl", "answers.jsonl", "b.jsonl.gz"}


def _umask():
    import os

    current = os.umask(0)
    os.umask(current)
    return current


def test_csv_by_the_name_of_the_output(model, tmp_path, capsys):
    _run(capsys, "predict", model, "-o", str(tmp_path / "a.csv"), *TEXTS)
    assert len(list(csv.DictReader((tmp_path / "a.csv").open()))) == 5


def test_bad_rows_are_told_and_left_out(model, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\nnot json\n{"text": "\\ud83d"}\n{"text": "fine too"}\n')
    out, err = _run(capsys, "predict", model, "-i", str(path), code=2)
    assert [it["line"] for it in _records(out)] == [1, 4]
    assert f"{path}:2: not JSON" in err
    assert f"{path}:3: 'text' is not UTF-8" in err
    assert "2 rows could not be read" in err


@pytest.mark.parametrize("text", ["", "\x00", "word " * 200_000, "مرحبا بالعالم", "👩‍👩‍👧‍👦" * 50])
def test_odd_texts(model, tmp_path, capsys, text):
    out, _ = _run(capsys, "predict", model, "-i", _jsonl(tmp_path / "a.jsonl", [text]))
    assert len(_records(out)) == 1


def _pipe(model, stdin: bytes, *options: str):
    return subprocess.run(
        [sys.executable, "-m", "limbeck.cli.main", "predict", model, *options],
        input=stdin,
        capture_output=True,
    )


def test_standard_input(model):
    lines = _pipe(model, "eins\n\nfünf\r\nno end".encode())
    assert [it["line"] for it in _records(lines.stdout.decode())] == [1, 2, 3, 4]
    objects = _pipe(model, b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n', "--input", "-")
    assert len(_records(objects.stdout.decode())) == 2
    table = _pipe(model, b"words;text\n1;a\n", "--input-format", "csv", "--keep", "words")
    assert _records(table.stdout.decode())[0]["words"] == "1"
    latin = _pipe(model, "caf\xe9\nfine\n".encode("latin-1"))
    assert latin.returncode == 2
    assert b"standard input:1:" in latin.stderr
    assert len(_records(latin.stdout.decode())) == 1
    nothing = _pipe(model, b"")
    assert (nothing.returncode, nothing.stdout) == (0, b"")


def test_a_slow_stream_is_answered_line_by_line(model):
    process = subprocess.Popen(
        [sys.executable, "-m", "limbeck.cli.main", "predict", model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        for number in range(1, 4):
            process.stdin.write(b"one more line\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 60)
            assert ready, "no answer although the line is complete"
            assert json.loads(process.stdout.readline())["line"] == number
            time.sleep(0.05)
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "a.csv", "text"], "not both"),
        (["--batch-size", "0", "x"], "--batch-size"),
        (["--top-k", "-1", "x"], "--top-k"),
        (["--stride", "5", "x"], "--window"),
        (["--text-column", "t", "x"], "no columns"),
        (["--input", "nowhere.csv"], "nowhere.csv is not there"),
        (["--precision", "int3", "x"], "precision"),
        (["--aggregation", "max", "x"], "token-classification"),
        (["--task", "sentence-embedding", "--window", "x"], "--window is for"),
        (["--output", "/no/such/place/a.jsonl", "x"], "cannot be written"),
        (["--output", "/", "x"], "is a directory"),
    ],
)
def test_requests_that_make_no_sense(model, arguments, said, capsys):
    out, err = _run(capsys, "predict", model, *arguments, code=2)
    assert said in err
    assert not out


def test_no_model(tmp_path, capsys):
    _, err = _run(capsys, "predict", str(tmp_path), "text", code=1)
    assert str(tmp_path) in err
    assert len(err.splitlines()) <= 3


def test_inspect_describes_an_artifact(with_threshold, capsys):
    out, _ = _run(capsys, "inspect", with_threshold)
    for part in ("bert, 3 layers", "text-classification", "threshold", "layers.2.ffn.out", "0.1"):
        assert part in out
    assert "made: by a test" in out
    assert "accuracy: 0.75" in out
    facts = json.loads(_run(capsys, "inspect", with_threshold, "--json")[0])
    assert facts["spec"]["task"]["threshold"]["false_alarm_rate"] == 0.001
    assert facts["measured"] == {"accuracy": 0.75}
    assert facts["size_bytes"] > 100_000
    assert len(facts["engine"]["digest"]) == 64


def test_inspect_describes_a_directory(zoo, capsys):
    out, _ = _run(capsys, "inspect", str(zoo("roberta", "token-classification")))
    assert "roberta, 3 layers" in out
    assert "lineage" not in out


def test_lengths(model, tmp_path, capsys):
    texts = ["the boat"] * 90 + ["the boat " * 30] * 9 + ["the boat " * 400]
    path = _jsonl(tmp_path / "a.jsonl", texts)
    report = json.loads(_run(capsys, "inspect", "--lengths", path, "-m", model, "--json")[0])
    tokenizer = limbeck.load(model).tokenizer()
    lengths = [len(one) for one in tokenizer.encode(texts, max_tokens=None)]
    assert report["texts"] == 100
    assert report["longest"] == max(lengths)
    assert report["estimated"] is False
    assert report["proposal"]["truncated"] == 0.01
    out, err = _run(capsys, "inspect", "--lengths", path, "-m", model)
    assert f"max_tokens {report['proposal']['max_tokens']}" in out
    assert not err
    out, err = _run(capsys, "inspect", "--lengths", path, model, "--max-truncated", "0")
    assert "--window" in out


def test_lengths_without_a_model_say_so(tmp_path, capsys):
    path = _jsonl(tmp_path / "a.jsonl", ["the boat is small", "incomprehensibilities, they say"])
    out, err = _run(capsys, "inspect", "--lengths", path)
    assert "estimated" in err
    assert "2 texts, mean 7.0 tokens, longest 8" in out


def test_lengths_of_bad_files(model, tmp_path, capsys):
    _run(capsys, "inspect", "--lengths", str(tmp_path / "none.csv"), code=2)
    (tmp_path / "a.jsonl").write_text("")
    _, err = _run(capsys, "inspect", "--lengths", str(tmp_path / "a.jsonl"), "-m", model, code=2)
    assert "no texts" in err
    _, err = _run(capsys, "inspect", model, "--lengths", "a.jsonl", "-m", model, code=2)
    assert "twice" in err


def test_questions(capsys, zoo, tmp_path):
    model = str(zoo("distilbert", "question-answering"))
    context = "The quiet flat is five minutes from the old harbour."
    expected = limbeck.pipeline("question-answering", model)(
        question=["Where is it?", "Is it loud?"], context=context
    )
    out, _ = _run(capsys, "predict", model, "Where is it?", "Is it loud?", "--context", context)
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == [{"line": n, **one} for n, one in enumerate(expected, start=1)]
    source = tmp_path / "questions.csv"
    source.write_text(f'question,context\nWhere is it?,"{context}"\nIs it loud?,"{context}"\n')
    out, _ = _run(capsys, "predict", model, "-i", str(source), "--batch-size", "1", "-f", "csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert [row["answer"] for row in table] == [one["answer"] for one in expected]
    assert list(table[0]) == ["line", "answer", "score", "start", "end"]
    out, _ = _run(capsys, "predict", model, "Where is it?", "--context", context, "--top-k", "3")
    assert len(json.loads(out)["answers"]) == 3
    out, _ = _run(capsys, "predict", model, "Where is it?", "--context", context, "-f", "table")
    assert f"{expected[0]['answer']} [" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Where?"], "give --context"),
        (["--context", "Here."], "questions given as arguments"),
        (["Where?", "--context", "Here.", "--window"], "--window is for text-classification"),
        (["Where?", "--context", "Here.", "--aggregation", "max"], "for token-classification"),
    ],
)
def test_questions_asked_wrongly(capsys, zoo, arguments, message):
    model = str(zoo("distilbert", "question-answering"))
    source = [] if arguments[0] == "Where?" else ["-i", "questions.csv"]
    _, err = _run(capsys, "predict", model, *arguments, *source, code=2)
    assert message in err


def test_a_context_for_another_task(capsys, model):
    _, err = _run(capsys, "predict", model, "Where?", "--context", "Here.", code=2)
    assert "--context is for question-answering" in err

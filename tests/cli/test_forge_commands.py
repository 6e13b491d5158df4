"""train, distil, convert and verify as a user types them."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import models
import task_rows
from limbeck import artifact, load, pipeline
from limbeck.cli.main import run

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")

pytestmark = pytest.mark.torch

GOOD, BAD = ["good", "great", "nice", "clean", "warm"], ["bad", "cold", "small", "old", "late"]
FILLER = ["the", "house", "room", "view", "walk"]


def write_rows(path: Path, count: int, *, labels: bool = True) -> Path:
    draw = random.Random(count)
    with path.open("w") as file:
        for _ in range(count):
            label = draw.choice(("dislike", "like"))
            words = draw.choices(GOOD if label == "like" else BAD, k=2)
            words += draw.choices(FILLER, k=draw.randint(1, 12))
            draw.shuffle(words)
            row = {"text": " ".join(words)} | ({"label": label} if labels else {})
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def workshop(
    zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """(a directory with rows and a trained teacher, the encoder it came from)."""
    encoder = zoo("bert", "feature-extraction", shape=models.Shape(layers=4))
    place = tmp_path_factory.mktemp("workshop")
    data = write_rows(place / "rows.jsonl", 400)
    arguments = ["--data", str(data), "--model", str(encoder), "--out", str(place / "teacher")]
    options = ["--epochs", "4", "--learning-rate", "1e-3", "--precision", "fp32"]
    assert run(["train", *arguments, *options, "--max-tokens", "48"]) == 0
    return place, encoder


def test_from_texts_to_an_artifact_that_answers(
    workshop: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    place, _ = workshop
    more = write_rows(place / "more.jsonl", 150, labels=False)
    teacher, student, made = place / "teacher", place / "student", place / "artifact"
    arguments = ["--teacher", str(teacher), "--data", str(place / "rows.jsonl")]
    arguments += ["--transfer", str(more), "--layers", "2", "--out", str(student)]
    options = ["--epochs", "4", "--learning-rate", "1e-3", "--precision", "fp32"]
    cache = ["--cache", str(place / "logits")]
    assert run(["distil", *arguments, *options, *cache]) == 0
    shown = capsys.readouterr().out
    assert "teacher: accuracy" in shown
    assert "trained: accuracy" in shown
    assert json.loads((student / "config.json").read_text())["num_hidden_layers"] == 2
    lineage = json.loads((student / "lineage.json").read_text())
    assert lineage["rows"] == 360 + 150
    assert len(list((place / "logits").iterdir())) == 1

    assert run(["convert", str(student), "--out", str(made)]) == 0
    shown = capsys.readouterr().out
    with artifact.read(made) as stored:
        assert stored.digest in shown
        assert stored.spec.task.labels == ("dislike", "like")
        assert stored.spec.task.max_tokens == 48
    assert run(["verify", str(made), "--against", str(student)]) == 0
    assert "verified: " in capsys.readouterr().out

    classify = pipeline("text-classification", made)
    answers = classify(["the great clean house", "the cold bad house"])
    assert [answer["label"] for answer in answers] == ["like", "dislike"]

    sample = ["--calibrate", str(place / "rows.jsonl"), "--texts-at-most", "20"]
    assert run(["convert", str(student), "--out", str(place / "static"), *sample]) == 0
    assert load(place / "static").describe()["activations"] == "static"


def test_numbers_and_several_labels(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, encoder = workshop
    draw = random.Random(9)
    for problem, metric in (("multi_label", "micro F1"), ("regression", "Spearman")):
        data = tmp_path / f"{problem}.jsonl"
        with data.open("w") as file:
            for _ in range(300):
                words = draw.choices([*GOOD[:2], *BAD[:2], *FILLER], k=6)
                label: object = [word for word in ("good", "bad") if word in words]
                if problem == "regression":
                    label = words.count("good") - words.count("bad")
                file.write(json.dumps({"text": " ".join(words), "label": label}) + "\n")
        made, student = tmp_path / f"{problem}-teacher", tmp_path / f"{problem}-student"
        options = ["--epochs", "12", "--learning-rate", "2e-3", "--precision", "fp32"]
        arguments = ["-d", str(data), "--problem", problem, *options]
        assert run(["train", *arguments, "-m", str(encoder), "-o", str(made)]) == 0
        assert f"trained: {metric} " in capsys.readouterr().out
        cache = ["--cache", str(tmp_path / "logits")]
        asked = ["distil", "-t", str(made), "-d", str(data), "-o", str(student), *cache]
        assert run([*asked, *options]) == 0
        assert f"teacher: {metric} " in capsys.readouterr().out
        assert run(["convert", str(student), "-o", str(tmp_path / problem)]) == 0
        capsys.readouterr()
        assert run(["evaluate", str(tmp_path / problem), "-d", str(data), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["metrics"]
        assert found[metric]["value"] > 0.7
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "a", "label": ["x"]}\n{"text": "b", "label": 7}\n')
    asked = ["train", "-d", str(bad), "-m", str(encoder), "-o", str(tmp_path / "x")]
    assert run([*asked, "--problem", "multi_label"]) == 2
    assert "bad.jsonl:2: 'label' must be a list of labels" in capsys.readouterr().err
    bad.write_text(bad.read_text() + '{"text": "c", "label": []}\n' * 30)
    lenient = ["--problem", "multi_label", "--lenient", "--balance", "--epochs", "1"]
    assert run([*asked, *lenient]) == 0
    told = capsys.readouterr().err
    assert "bad.jsonl:2: 'label' must be a list of labels" in told
    assert told.count("limbeck: bad rows that were left out: 1\n") == 1
    bad.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": "much"}\n')
    assert run([*asked, "--problem", "regression"]) == 2
    assert "bad.jsonl:2: 'label' is 'much', not a number" in capsys.readouterr().err
    assert run([*asked, "--problem", "ranking"]) == 2
    assert "problem 'ranking' is not one of" in capsys.readouterr().err


def test_rows_without_a_label(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, encoder = workshop
    data = write_rows(tmp_path / "rows.jsonl", 60)
    rows = data.read_text().splitlines()
    rows[2:2] = ['{"text": "one"}', '{"text": "two", "label": ""}']
    data.write_text("\n".join(rows))
    options = ["-d", str(data), "--epochs", "1", "--precision", "fp32"]
    asked = ["train", "-m", str(encoder), "-o", str(tmp_path / "teacher"), *options]
    assert run(asked) == 2
    told = capsys.readouterr().err
    assert "rows.jsonl:3: 'label' is missing or empty" in told
    assert "rows.jsonl:4: 'label' is missing or empty" in told
    assert run([*asked, "--lenient"]) == 0
    told = capsys.readouterr().err
    assert "rows.jsonl:4: 'label' is missing or empty" in told
    assert told.count("limbeck: bad rows that were left out: 2\n") == 1
    lineage = json.loads((tmp_path / "teacher" / "lineage.json").read_text())
    assert lineage["rows"] == 60 * 9 // 10

    # a student can learn of a text what the teacher says, unless labels alone count
    asked = ["distil", "-t", str(place / "teacher"), "-o", str(tmp_path / "student"), *options]
    asked += ["--cache", str(tmp_path / "logits")]
    assert run(asked) == 0
    assert "left out" not in capsys.readouterr().err
    assert run([*asked, "--soft-weight", "0"]) == 2
    assert "rows.jsonl:3: 'label' is missing or empty" in capsys.readouterr().err


def write_task(task: str, path: Path, count: int, seed: int) -> Path:
    """Rows of a task in the format that people have them in."""
    if task == "token-classification":
        rows = task_rows.tags(count, seed)
        path = path.with_suffix(".conll")
        with path.open("w") as file:
            for words, tags in zip(rows.words, rows.tags, strict=True):
                pairs = zip(words, tags, strict=True)
                file.write("".join(f"{word} {rows.names[tag]}\n" for word, tag in pairs) + "\n")
    elif task == "question-answering":
        asked = task_rows.questions(count, seed)
        paragraphs = []
        columns = zip(asked.questions, asked.contexts, asked.answers, strict=True)
        for number, (question, context, answers) in enumerate(columns):
            right = [{"text": one.text, "answer_start": one.start} for one in answers]
            entry = {"id": str(number), "question": question, "answers": right}
            entry["is_impossible"] = not right
            paragraphs.append({"context": context, "qas": [entry]})
        path = path.with_suffix(".json")
        path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    else:
        pairs = task_rows.sentences(count, seed)
        path = path.with_suffix(".jsonl")
        with path.open("w") as file:
            for text, pair, label in zip(pairs.texts, pairs.pairs, pairs.labels, strict=True):
                row = {"text": text, "text_pair": pair, "label": 5 * float(label)}
                file.write(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("token-classification", "span F1"),
        ("question-answering", "F1"),
        ("sentence-embedding", "Spearman"),
    ],
)
def test_other_tasks(
    workshop: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    metric: str,
) -> None:
    _, encoder = workshop
    data = write_task(task, tmp_path / "rows", 300, 0)
    held_out = write_task(task, tmp_path / "validation", 60, 1)
    more = write_task(task, tmp_path / "more", 60, 2)
    if task == "token-classification":  # texts that nobody has cut into words
        more = tmp_path / "more.jsonl"
        texts = task_rows.tags(60, 2).texts
        more.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    options = ["--epochs", "6", "--learning-rate", "1e-3", "--precision", "fp32"]
    if task == "sentence-embedding":
        options += ["--label-range", "0,5"]
    made, student = tmp_path / "teacher", tmp_path / "student"
    asked = ["-d", str(data), "--validation", str(held_out), *options]
    train = ["train", "--task", task, "-m", str(encoder), "-o", str(made), *asked]
    assert run(train) == 0
    assert f"trained: {metric} " in capsys.readouterr().out
    longest = json.loads((made / "tokenizer_config.json").read_text())["model_max_length"]
    assert longest == (160 if task == "question-answering" else 128), "384, as far as there is room"
    cache = ["--cache", str(tmp_path / "logits"), "--transfer", str(more)]
    assert run(["distil", "-t", str(made), "-o", str(student), *asked, *cache]) == 0
    assert f"teacher: {metric} " in capsys.readouterr().out
    assert json.loads((student / "lineage.json").read_text())["rows"] == 360
    assert run(["convert", str(student), "-o", str(tmp_path / "artifact")]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "artifact"), "-d", str(held_out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found[metric]["value"] > 0.6


def test_options_of_tasks_are_checked(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, encoder = workshop
    asked = ["train", "-d", str(place / "rows.jsonl"), "-m", str(encoder)]
    asked += ["-o", str(tmp_path / "x")]
    for options, message in (
        (["--task", "translation"], "task 'translation' is not one of text-classification, "),
        (["--task", "feature-extraction"], "is not one of text-classification, "),
        (["--label-range", "5"], "--label-range is two numbers such as 0,5, found '5'"),
        (["--label-range", "5,0"], "similarities from 5 to 0 are no range"),
        (["--task", "token-classification"], "'tokens'"),
        (["--task", "question-answering"], "'question'"),
        (["--task", "sentence-embedding"], "'text_pair'"),
    ):
        assert run([*asked, *options]) == 2
        assert message in capsys.readouterr().err


def test_several_teachers_and_their_inside(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, encoder = workshop
    rows, first, second = place / "rows.jsonl", place / "teacher", tmp_path / "second"
    options = ["--epochs", "2", "--learning-rate", "1e-3", "--precision", "fp32"]
    arguments = ["--data", str(rows), "--model", str(encoder), "--out", str(second)]
    assert run(["train", *arguments, *options, "--max-tokens", "48", "--seed", "3"]) == 0
    cache = ["--cache", str(tmp_path / "logits")]
    inside = ["--cosine-weight", "0.5", "--hidden-weight", "0.1", "--relation-weight", "0.5"]
    for combine in ("mean", "weighted", "confidence"):
        student = tmp_path / combine
        asked = ["distil", "-t", str(first), "-t", str(second), "--combine", combine]
        asked += ["-d", str(rows), "-o", str(student), *options, *cache, *inside]
        assert run(asked) == 0
        lineage = json.loads((student / "lineage.json").read_text())
        assert len(lineage["beside"]) == 1
        assert lineage["beside"] != [lineage["teacher"]]
        assert lineage["config"]["inside"]["cosine_weight"] == 0.5
        classify = pipeline("text-classification", student)
        answers = classify(["the great clean house", "the cold bad house"])
        assert [answer["label"] for answer in answers] == ["like", "dislike"]
    assert len(list((tmp_path / "logits").iterdir())) == 2, "each teacher is asked once"
    plain = ["distil", "-t", str(first), "-d", str(rows), "-o", str(tmp_path / "x"), *cache]
    capsys.readouterr()
    for take, message in (("0,x", "such as 0,2,5"), ("0,9", "layers 0 to 3, each once")):
        assert run([*plain, "--take", take]) == 2
        assert message in capsys.readouterr().err
    assert run([*plain, "--take", "0,3", "--layers", "3"]) == 2
    assert "names 2 layers, and --layers says 3" in capsys.readouterr().err
    assert run([*plain, *options, "--take", "3,0"]) == 0
    assert json.loads((tmp_path / "x" / "lineage.json").read_text())["layers"] == [3, 0]
    capsys.readouterr()
    assert run([*plain, "--combine", "median"]) == 2
    assert "mean, weighted, confidence, not 'median'" in capsys.readouterr().err
    assert run([*plain, "--soft-loss", "l1"]) == 2
    assert "is not kl or mse" in capsys.readouterr().err
    assert run([*plain, "--cosine-weight", "-1"]) == 1
    assert "must not be negative" in capsys.readouterr().err


def test_narrower_students_and_other_encoders(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, encoder = workshop
    plain = ["distil", "-t", str(place / "teacher"), "-d", str(place / "rows.jsonl")]
    plain += ["--epochs", "1", "--precision", "fp32", "--cache", str(tmp_path / "logits")]
    for number, (options, expected) in enumerate(
        (
            (["--shape", "2x36x2x64"], {"shape": "2x36x2x64", "init": "teacher", "layers": [0, 2]}),
            (["--shape", "1x36x2x64", "--take", "3"], {"layers": [3]}),
            (["--shape", "2x96x4x64", "--random", "--seed", "5"], {"init": "random", "seed": 5}),
            (["--from", str(encoder)], {"encoder": encoder.name}),
        )
    ):
        out = tmp_path / str(number)
        assert run([*plain, *options, "--out", str(out)]) == 0
        lineage = json.loads((out / "lineage.json").read_text())
        assert {name: lineage[name] for name in expected} == expected
        assert pipeline("text-classification", out)("a house")[0]["label"] in ("like", "dislike")
    capsys.readouterr()
    for options, message in (
        (["--shape", "wide"], "no shape 'wide'"),
        (["--shape", "2x96x4x64"], "width 96, and the teacher has 72"),
        (["--shape", "2x36x2x64", "--layers", "2"], "leave out --layers"),
        (["--random"], "--random needs a --shape"),
        (["--shape", "2x36x2x64", "--random", "--take", "0,1"], "leave out --take"),
        (["--from", str(encoder), "--layers", "2"], "--from is a whole encoder"),
    ):
        assert run([*plain, *options, "--out", str(tmp_path / "x")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_teacher_is_not_verified_against_another_model(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, _ = workshop
    assert run(["convert", str(place / "teacher"), "--out", str(tmp_path / "a")]) == 0
    other = tmp_path / "other"
    shutil.copytree(place / "teacher", other)
    models.write(tmp_path / "fresh", "bert", "text-classification", labels=("dislike", "like"),
                 shape=models.Shape(layers=4), seed=5)  # fmt: skip
    shutil.copy(tmp_path / "fresh" / "model.safetensors", other / "model.safetensors")
    assert run(["verify", str(tmp_path / "a"), "--against", str(other)]) == 1
    assert "not those of the source" in capsys.readouterr().err


def test_a_pickled_directory_is_converted_and_the_message_says_how(
    workshop: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from safetensors.torch import load_file

    place, _ = workshop
    directory = tmp_path / "pickled"
    shutil.copytree(place / "teacher", directory)
    weights = directory / "model.safetensors"
    torch.save(load_file(weights), directory / "pytorch_model.bin")
    weights.unlink()
    assert run(["predict", str(directory), "nice"]) == 1
    assert "limbeck convert" in capsys.readouterr().err
    assert run(["convert", str(directory), "--out", str(tmp_path / "out")]) == 0
    assert artifact.is_artifact(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["convert", "MODEL", "--out", "OUT", "--precision", "int4"], 2, "not int8 or fp32"),
        (["train", "--data", "ROWS", "--model", "MODEL", "--out", "FULL"], 2, "no model directory"),
        (["train", "--data", "ABSENT", "--model", "MODEL", "--out", "OUT"], 2, "not there"),
        (["train", "--data", "ROWS", "--model", "ABSENT", "--out", "OUT"], 1, "no directory"),
        (
            ["train", "--data", "ROWS", "--model", "MODEL", "--out", "OUT", "--precision", "fp8"],
            2,
            "not auto, fp32 or bf16",
        ),
        (
            ["distil", "--teacher", "MODEL", "--data", "ROWS", "--out", "OUT", "--layers", "9"],
            2,
            "1 to 4 layers",
        ),
        (
            ["train", "--data", "ROWS", "--model", "MODEL", "--out", "OUT", "--label-column", "x"],
            2,
            "no row has a 'x'",
        ),
        (["verify", "ABSENT"], 1, "no directory"),
    ],
)
def test_bad_input_is_told(
    workshop: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    place, encoder = workshop
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    places = {
        "MODEL": str(place / "teacher" if arguments[0] == "distil" else encoder),
        "ROWS": str(place / "rows.jsonl"),
        "OUT": str(tmp_path / "out"),
        "FULL": str(tmp_path / "full"),
        "ABSENT": str(tmp_path / "absent.jsonl"),
    }
    assert run([places.get(argument, argument) for argument in arguments]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_demo_refuses_what_it_cannot_do_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = tmp_path / "three.jsonl"
    with three.open("w") as file:
        for index in range(300):
            file.write(json.dumps({"text": f"text {index}", "label": "abc"[index % 3]}) + "\n")
    few = write_rows(tmp_path / "few.jsonl", 20, labels=False)
    for data, message in ((three, "exactly two labels"), (few, "at least 200 are needed")):
        out = tmp_path / "out"
        assert run(["demo", "--data", str(data), "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
    assert run(["demo", "--minutes", "0", "--out", str(tmp_path / "out")]) == 2
    assert "minutes must be positive" in capsys.readouterr().err


def test_two_processes_train_and_distil_one_model(
    workshop: tuple[Path, Path], tmp_path: Path
) -> None:
    place, encoder = workshop
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["-d", str(place / "rows.jsonl"), "--epochs", "1", "--precision", "fp32"]
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    cache = tmp_path / "logits"
    for command in (
        ["train", *options, "-m", str(encoder), "-o", str(teacher)],
        ["distil", *options, "-t", str(teacher), "-o", str(student), "--cache", str(cache)],
    ):
        done = subprocess.run(
            [*launch, "-m", "limbeck", *command],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("next: limbeck") == 1, "the first process alone speaks"
    assert json.loads((student / "config.json").read_text())["num_hidden_layers"] == 2
    assert len(list(cache.iterdir())) == 1

"""evaluate: tables, JSON, the gate's exit code, GLUE directories, bad requests."""

from __future__ import annotations

import json

import pytest

import limbeck
from limbeck.cli import main

TEXTS = [f"the {noun} is {kind}" for noun in ("flat", "sea", "key") for kind in "abcd"]


def _run(capsys, *arguments: object, code: int = 0) -> tuple[str, str]:
    assert main.run(["evaluate", *map(str, arguments)]) == code
    return capsys.readouterr()


@pytest.fixture
def model(zoo):
    return zoo("bert", "text-classification")


@pytest.fixture
def rows(model, tmp_path):
    """What the model says, but for the last two of twelve rows."""
    answers = limbeck.pipeline("text-classification", str(model))(TEXTS)
    labels = [one["label"] for one in answers]
    other = {"negative": "positive", "neutral": "negative", "positive": "neutral"}
    labels[-2:] = [other[one] for one in labels[-2:]]
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": t, "label": y}) for t, y in zip(TEXTS, labels, strict=True)]
    path.write_text("\n".join(lines))
    return path


def test_a_table_and_json(capsys, model, rows):
    out, _ = _run(capsys, model, "--data", rows)
    assert "12 rows" in out
    assert "accuracy" in out
    assert "0.8333" in out
    out, _ = _run(capsys, model, "--data", rows, "--json", "--resamples", 50)
    found = json.loads(out)
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(10 / 12)
    assert found["metrics"]["accuracy"]["low"] < 10 / 12 < found["metrics"]["accuracy"]["high"]
    out, _ = _run(capsys, model, "--data", rows, "--json", "--rows", 10)
    assert json.loads(out)["metrics"]["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_the_gate(capsys, model, rows, zoo):
    same = ("--data", rows, "--against", model, "--max-drop", 0)
    out, _ = _run(capsys, model, *same)
    assert "against" in out
    worse = zoo("bert", "text-classification", seed=99)
    out, err = _run(capsys, worse, *same[:4], "--max-drop", 1, "--json", code=3)
    found = json.loads(out)["against"]
    assert found["passed"] is False
    assert f"loses {100 * found['drop']['value']:.2f} points of accuracy, and 1 are allowed" in err
    _run(capsys, worse, *same[:4], "--max-drop", 100)
    _run(capsys, model, *same, "--strict", "--max-slice-drop", 0)


def test_a_limit_on_slices_says_what_it_did_not_judge(capsys, zoo, tmp_path):
    several = {"problem_type": "multi_label_classification"}
    model = zoo("roberta", "text-classification", config=several)
    path = tmp_path / "rows.jsonl"
    labels = [["positive"]] * 10 + [["negative", "positive"]] * 2
    lines = [json.dumps({"text": t, "label": y}) for t, y in zip(TEXTS, labels, strict=True)]
    path.write_text("\n".join(lines))
    asked = ("--data", path, "--against", model, "--max-drop", 0, "--json", "--resamples", 20)
    out, err = _run(capsys, model, *asked, "--max-slice-drop", 0)
    found = json.loads(out)
    assert found["against"]["slices"]["label=positive"]["rows"] == 12
    assert found["slices"]["label=positive"]["rows"] == 12
    assert found["against"]["not_judged"]["label=negative"] == 2
    assert "slices of fewer than 10 rows were not judged: label=negative (2)" in err
    assert found["against"]["warnings"][0] in err
    _, err = _run(capsys, model, *asked)
    assert "not judged" not in err
    few = (*asked, "--rows", 9)
    out, err = _run(capsys, model, *few, "--max-slice-drop", 0, code=3)
    assert json.loads(out)["against"]["passed"] is False
    assert "no slice could be judged" in err
    _run(capsys, model, *few)


def test_models_that_cut_texts_otherwise(capsys, model, rows, zoo):
    other = zoo("roberta", "text-classification")
    out, _ = _run(capsys, model, "--data", rows, "--against", other, "--resamples", 20)
    assert "lost, points" in out


def test_a_suite(capsys, zoo, tmp_path):
    two = {"labels": ("0", "1")}
    models, data = tmp_path / "models", tmp_path / "glue"
    models.mkdir()
    (models / "SST-2").symlink_to(zoo("bert", "text-classification", **two))
    (models / "mrpc").symlink_to(zoo("bert", "text-classification", seed=5, **two))
    (models / "stsb").symlink_to(zoo("bert", "text-classification", labels=("score",)))
    for folder in ("SST-2", "mrpc", "stsb", "RTE"):
        (data / folder).mkdir(parents=True)
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    (data / "SST-2" / "dev.tsv").write_text(
        "sentence\tlabel\n" + "".join(f"{t}\t{n % 2}\n" for n, t in enumerate(TEXTS))
    )
    rows = [{"sentence1": a, "sentence2": b, "label": n % 2} for n, (a, b) in enumerate(pairs)]
    (data / "mrpc" / "validation.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"text": a, "text_pair": b, "label": n} for n, (a, b) in enumerate(pairs)]
    (data / "stsb" / "validation.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (data / "RTE" / "dev.tsv").write_text("sentence1\tsentence2\tlabel\na\tb\t1\n")
    out, _ = _run(capsys, models, data, "--suite", "glue", "--json")
    found = json.loads(out)
    assert set(found["tasks"]) == {"SST-2", "MRPC", "STS-B"}
    assert set(found["tasks"]["MRPC"]["metrics"]) == {"F1", "accuracy"}
    assert found["absent"]["CoLA"] == "no data"
    assert found["absent"]["RTE"].startswith("no model in")
    scores = [one["score"] for one in found["tasks"].values()]
    assert found["macro"] == pytest.approx(sum(scores) / 3)
    out, _ = _run(capsys, models, data, "--suite", "glue")
    assert "macro score of 3 tasks" in out
    assert "absent" in out


SITE = {
    "CoLA/dev.tsv": (
        "gj04\t1\t\tThe sailors rode the breeze clear of the rocks.\n"
        "ks08\t0\t*\t\"If you'll just stand there, we'll be fine.\n"
        "gj04\t1\t\tThe weights made the rope stretch over the pulley.\n"
    ),
    "MRPC/dev.tsv": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
        '1\t1355540\t1355592\tHe said it isn\'t "perfect\t"It is not perfect," he said .\n'
        '0\t2029631\t2029565\t"The deal is done , he said .\t" We are pleased .\n'
        "1\t487993\t487952\tThe dollar was at 116.92 yen .\tThe dollar was higher .\n"
    ),
    "QNLI/dev.tsv": (
        "index\tquestion\tsentence\tlabel\n"
        '0\tWhat is "Sea"?\t"Sea" is a word, and "flat is another.\tentailment\n'
        '1\t"Who came?\tNobody came on the day.\tnot_entailment\n'
    ),
    "RTE/dev.tsv": (
        "index\tsentence1\tsentence2\tlabel\n"
        '0\t"Dana Reeve, 44, has died," a paper wrote\tReeve died.\tentailment\n'
        '1\tThe 3.5" disk is old.\tDisks are "new\tnot_entailment\n'
    ),
}


@pytest.fixture
def site(zoo, tmp_path):
    """Models and the site's files of four tasks."""
    models = tmp_path / "models"
    models.mkdir()
    for name, text in SITE.items():
        task = name.split("/")[0]
        (tmp_path / "glue" / task).mkdir(parents=True)
        (tmp_path / "glue" / name).write_text(text)
        labels = ("0", "1") if task in ("CoLA", "MRPC") else ("entailment", "not_entailment")
        (models / task).symlink_to(zoo("bert", "text-classification", labels=labels))
    return models, tmp_path / "glue"


def test_the_files_of_the_glue_site(capsys, site):
    out, _ = _run(capsys, *site, "--suite", "glue", "--json")
    found = json.loads(out)
    rows = {name: one["rows"] for name, one in found["tasks"].items()}
    assert rows == {"CoLA": 3, "MRPC": 3, "QNLI": 2, "RTE": 2}
    assert found["failed"] == {}


def test_a_damaged_task_does_not_stop_the_others(capsys, site):
    models, glue = site
    whole = SITE["RTE/dev.tsv"]
    (glue / "RTE" / "dev.tsv").write_text(whole + "2\tcut of\n")
    (glue / "MRPC" / "dev.tsv").write_text("a\tb\nc\td\n")
    (glue / "CoLA" / "dev.tsv").write_text("sentence\tlabel\nfine\t1\nnot fine\t0\n")
    out, err = _run(capsys, models, glue, "--suite", "glue", "--json", code=2)
    found = json.loads(out)
    assert set(found["tasks"]) == {"CoLA", "QNLI"}
    assert found["tasks"]["CoLA"]["rows"] == 2
    assert found["failed"]["RTE"] == f"{glue}/RTE/dev.tsv:4: 2 fields where the header has 4"
    assert "no column 'sentence1'; the columns are 'a', 'b'" in found["failed"]["MRPC"]
    assert "MRPC is read from the columns ['sentence1', 'sentence2', 'label'] or" in err
    assert "2 of 4 tasks could not be scored: MRPC, RTE" in err
    assert found["macro"] == pytest.approx(sum(one["score"] for one in found["tasks"].values()) / 2)
    for name in ("CoLA", "QNLI"):
        (glue / name / "dev.tsv").unlink()
    out, err = _run(capsys, models, glue, "--suite", "glue", code=2)
    assert "RTE cannot be scored" in err
    assert "failed" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the labelled rows with --data"),
        (["--data", "ROWS", "--max-drop", "1"], "compare with --against"),
        (["--data", "ROWS", "--strict"], "compare with --against"),
        (["--data", "ROWS", "--against", "MODEL", "--strict"], "go with --max-drop"),
        (["--data", "ROWS", "--against", "MODEL", "--max-drop", "-1"], "number of points"),
        (["--data", "nothing.csv"], "is not there"),
        (["--data", "ROWS", "--label-column", "gold"], "gold"),
        (["--data", "ROWS", "--task", "feature-extraction"], "no right answers"),
        (["--suite", "glue"], "needs the directory"),
        (["--suite", "superglue"], "--suite knows glue"),
        ([".", "--suite", "glue"], "no development set of a GLUE task"),
        ([".", "--suite", "glue", "--data", "ROWS"], "without --data"),
    ],
)
def test_bad_requests(capsys, model, rows, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [{"ROWS": rows, "MODEL": model}.get(one, one) for one in arguments]
    _, err = _run(capsys, model, *given, code=2)
    assert message in err


def test_bad_rows(capsys, model, rows):
    rows.write_text(rows.read_text() + '\n{"text": 3, "label": "neutral"}\n')
    _, err = _run(capsys, model, "--data", rows, code=2)
    assert f"{rows}:13: 'text' is int" in err
    out, err = _run(capsys, model, "--data", rows, "--lenient", "--json")
    assert f"{rows}:13: 'text' is int" in err
    assert err.endswith("limbeck: bad rows that were left out: 1\n")
    assert json.loads(out)["left_out"] == 1
    assert json.loads(out)["rows"] == 12

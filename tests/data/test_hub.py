"""Hub names, and rows through the datasets library from folders, without a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from limbeck import data, evaluation
from limbeck.data.readers import hub
from limbeck.data.readers.hub import HubName
from limbeck.errors import InputError, MissingExtraError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hub:nyu-mll/glue/sst2:train", HubName(repo="nyu-mll/glue", config="sst2", split="train")),
        ("hub:glue/sst2:train", HubName(repo="glue/sst2", split="train")),
        ("hub:imdb", HubName(repo="imdb")),
        ("hub:/a/b/c/d:test", HubName(repo="/a/b/c/d", split="test")),
        ("hub:./a", HubName(repo="./a")),
    ],
)
def test_names(name: str, expected: HubName) -> None:
    assert hub.parse(name) == expected
    assert hub.is_hub_name(Path(name))
    assert hub.parse(str(Path(name))) == expected


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c/d", "hub:a//b", "hub:a:", "hub:a:b:c"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="a data set of the hub is named hub:OWNER/NAME"):
        list(data.read_rows(name))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"limbeck\[hub\]"):
        list(data.read_rows("hub:owner/name:train"))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return datasets


def write(folder: Path, split: str, rows: list[dict[str, object]]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_folder_of_files(library, tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    write(folder, "train", [{"sentence": "good", "stars": 5}, {"sentence": "bad", "stars": 1}])
    write(folder, "test", [{"sentence": "so so", "stars": 3}])
    rows = list(data.read_rows(f"hub:{folder}:train", label_column="stars"))
    assert [(row.text, row.label, row.line) for row in rows] == [("good", "5", 1), ("bad", "1", 2)]
    assert [row.text for row in data.read_rows(Path(f"hub:{folder}:test"))] == ["so so"]
    with pytest.raises(InputError, match="no split 'dev'; there are: train, test"):
        list(data.read_rows(f"hub:{folder}:dev"))
    with pytest.raises(InputError, match="name a split; there are: train, test"):
        list(data.read_rows(f"hub:{folder}"))
    with pytest.raises(InputError, match="no column 'label'; the columns are 'sentence', 'stars'"):
        list(data.read_rows(f"hub:{folder}:train", label_column="label"))
    with pytest.raises(InputError, match="no directory"):
        list(data.read_rows(f"hub:{tmp_path}/nothing:train"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the datasets library cannot read it"):
        list(data.read_rows(f"hub:{tmp_path}/empty:train"))


def saved(library, folder: Path):
    features = library.Features(
        {
            "text": library.Value("string"),
            "label": library.ClassLabel(names=["dislike", "like"]),
            "words": library.Sequence(library.Value("string")),
            "tags": library.Sequence(library.ClassLabel(names=["O", "B-PER"])),
        }
    )
    table = library.Dataset.from_dict(
        {
            "text": ["a", None, "c"],
            "label": [1, 0, -1],
            "words": [["Anna", "left"], ["x"], ["y"]],
            "tags": [[1, 0], [0], [0]],
        },
        features=features,
    )
    table.save_to_disk(str(folder))
    return table


def test_class_numbers_become_names_and_bad_rows_are_named(library, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    saved(library, folder)
    told: list[str] = []
    name = f"hub:{folder}"
    rows = list(data.read_rows(name, label_column="label", report=told.append))
    assert [(row.text, row.label) for row in rows] == [("a", "like"), ("c", None)]
    assert told == [f"{name}:2: 'text' is missing, not text"]
    with pytest.raises(InputError, match="saved:2: 'text' is missing"):
        list(data.read_rows(name))
    with pytest.raises(InputError, match="leave out the split"):
        list(data.read_rows(f"{name}:train"))
    examples = evaluation.read_examples(name, "single_label", at_most=1, report=told.append)
    assert (examples.texts, examples.targets) == (("a",), ("like",))
    sentences = list(data.read_tagged(name, word_column="words", tag_column="tags"))
    assert (sentences[0].words, sentences[0].tags) == (("Anna", "left"), ("B-PER", "O"))


def test_splits_saved_together(library, tmp_path: Path) -> None:
    table = saved(library, tmp_path / "one")
    both = library.DatasetDict({"train": table, "validation": table.select([2])})
    both.save_to_disk(str(tmp_path / "both"))
    assert [row.text for row in data.read_rows(f"hub:{tmp_path}/both:validation")] == ["c"]
    with pytest.raises(InputError, match="no split 'x'; there are: train, validation"):
        list(data.read_rows(f"hub:{tmp_path}/both:x"))


def test_a_name_without_an_owner_has_its_configuration_behind_the_stroke() -> None:
    """glue/sst2 is asked for as a data set of the owner glue first, then as glue's sst2."""
    asked: list[tuple[str, str | None]] = []

    class DatasetNotFoundError(Exception):
        pass

    def splits(repo: str, config: str | None) -> list[str]:
        asked.append((repo, config))
        if "/" in repo:
            raise DatasetNotFoundError(f"no {repo}")
        return ["train", "test"]

    fake = SimpleNamespace(
        exceptions=SimpleNamespace(DatasetNotFoundError=DatasetNotFoundError),
        get_dataset_split_names=splits,
        load_dataset=lambda repo, config, split: (repo, config, split),
    )
    name = "hub:glue/sst2:train"
    assert hub._load(fake, hub.parse(name), name) == ("glue", "sst2", "train")
    assert asked == [("glue/sst2", None), ("glue", "sst2")]
    name = "hub:some/thing/else:train"
    with pytest.raises(InputError, match="cannot read it: no some/thing"):
        hub._load(fake, hub.parse(name), name)

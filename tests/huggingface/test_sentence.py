"""sentence-transformers directories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import models
from limbeck import huggingface
from limbeck.errors import ModelError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return models.write_sentence_model(tmp_path / "sentence")


def write_modules(directory: Path, *kinds: str, **paths: str) -> None:
    modules = [
        {"idx": i, "path": paths.get(kind, "" if i == 0 else f"{i}_{kind}"), "type": f"a.b.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (directory / "modules.json").write_text(json.dumps(modules))


def write_pooling(directory: Path, config: Any) -> None:
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(config))


def test_pooling_and_normalising_without_a_folder(directory: Path) -> None:
    assert not (directory / "2_Normalize").exists()
    task = huggingface.read(directory).spec.task
    assert (task.task, task.pooling, task.normalize) == ("sentence-embedding", ("mean",), True)


def test_without_normalising(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path, pooling=("cls",), normalize=False)
    task = huggingface.read(directory).spec.task
    assert (task.pooling, task.normalize) == (("cls",), False)


def test_flags_are_concatenated_in_their_fixed_order(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path, pooling=("mean", "max", "cls"))
    assert huggingface.read(directory).spec.task.pooling == ("cls", "max", "mean")


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode": "max"}, ("max",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
        ({"word_embedding_dimension": 72}, ("mean",)),
    ],
)
def test_newer_and_absent_settings(
    directory: Path, config: dict[str, Any], pooling: tuple[str, ...]
) -> None:
    write_pooling(directory, config)
    assert huggingface.read(directory).spec.task.pooling == pooling


def test_an_encoder_in_a_folder_of_its_own(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path)
    folder = directory / "0_Transformer"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (directory / name).rename(folder / name)
    write_modules(directory, "Transformer", "Pooling", Transformer="0_Transformer")
    model = huggingface.read(directory)
    assert model.directory == folder
    assert model.spec.task.normalize is False


def test_other_tasks_of_the_same_directory(directory: Path) -> None:
    assert huggingface.read(directory, task="feature-extraction").spec.task.pooling == ()


def test_dropout_changes_nothing(directory: Path) -> None:
    write_modules(directory, "Transformer", "Pooling", "Dropout")
    assert huggingface.read(directory).spec.task.pooling == ("mean",)


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer", "Pooling", "Dense"),
        ("Transformer", "Pooling", "Dense", "Normalize"),
        ("Transformer", "Normalize", "Pooling"),
        ("Transformer",),
        (),
    ],
)
def test_modules_that_are_not_supported(directory: Path, kinds: tuple[str, ...]) -> None:
    write_modules(directory, *kinds)
    with pytest.raises(ModelError, match="supported: Transformer, Pooling and then"):
        huggingface.read(directory)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc"])
def test_a_module_outside_the_directory(directory: Path, path: str) -> None:
    write_modules(directory, "Transformer", "Pooling", Pooling=path)
    with pytest.raises(ModelError, match="no folder of this directory"):
        huggingface.read(directory)


@pytest.mark.parametrize("mode", ["lasttoken", "weightedmean", "mean_sqrt_len_tokens", "sum"])
def test_poolings_that_are_not_supported(directory: Path, mode: str) -> None:
    write_pooling(directory, {"pooling_mode": mode})
    with pytest.raises(ModelError, match=f"pooling '{mode}' is not supported; supported: cls"):
        huggingface.read(directory)


def test_an_older_flag_that_is_not_supported(directory: Path) -> None:
    write_pooling(directory, {"pooling_mode_lasttoken": True})
    with pytest.raises(ModelError, match="pooling 'lasttoken'"):
        huggingface.read(directory)


@pytest.mark.parametrize("config", [[], {"pooling_mode": 3}, {"pooling_mode": []}])
def test_damaged_pooling(directory: Path, config: Any) -> None:
    write_pooling(directory, config)
    with pytest.raises(ModelError, match="pooling"):
        huggingface.read(directory)


def test_a_pooling_folder_that_is_missing(directory: Path) -> None:
    (directory / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"cannot read .*1_Pooling"):
        huggingface.read(directory)


def test_damaged_modules(directory: Path) -> None:
    (directory / "modules.json").write_text('{"0": "Transformer"}')
    with pytest.raises(ModelError, match="list of modules"):
        huggingface.read(directory)


def test_a_default_prompt_is_not_dropped_in_silence(directory: Path) -> None:
    (directory / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: "}, "default_prompt_name": "query"})
    )
    with pytest.raises(ModelError, match="default_prompt_name"):
        huggingface.read(directory)


def test_lowercasing_that_the_tokenizer_does_not_do(directory: Path) -> None:
    settings = directory / "sentence_bert_config.json"
    settings.write_text(json.dumps({"max_seq_length": 99, "do_lower_case": True}))
    huggingface.read(directory)  # the tokenizer lowercases by itself
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="do_lower_case"):
        huggingface.read(directory)


def test_the_real_minilm(minilm: Path) -> None:
    spec = huggingface.read(minilm).spec
    assert (spec.encoder.layers, spec.encoder.hidden, spec.encoder.heads) == (6, 384, 12)
    assert (spec.task.pooling, spec.task.normalize) == (("mean",), True)

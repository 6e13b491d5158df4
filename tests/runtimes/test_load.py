"""load(): artifacts and Hugging Face directories, precisions, and all that is refused."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import limbeck
import models
from limbeck import artifact, huggingface, runtimes
from limbeck.batch import pack
from limbeck.engine import quantize_weights, reference
from limbeck.errors import (
    ArtifactError,
    EngineError,
    InputError,
    LimbeckError,
    MissingExtraError,
    ModelError,
)
from limbeck.spec import ModelSpec, QuantSpec

Zoo = Callable[..., Path]


def make_artifact(directory: Path, source: Path, precision: str = "int8") -> Path:
    opened = runtimes.open_source(source)
    weights = opened.weights
    if precision == "int8":
        weights = quantize_weights(weights, opened.spec.encoder)
    spec = ModelSpec(
        encoder=opened.spec.encoder,
        task=opened.spec.task,
        quant=QuantSpec(precision=precision),  # type: ignore[arg-type]
    )
    artifact.write(
        directory,
        spec=spec,
        weights=weights,
        tokenizer_json=opened.tokenizer_json(),
        lineage={"made_by": "test_load"},
    )
    return directory


@pytest.fixture
def stored(zoo: Zoo, tmp_path: Path) -> Path:
    """An int8 artifact of a text classifier."""
    return make_artifact(tmp_path / "artifact", zoo("bert", "text-classification"))


def test_auto_keeps_a_hugging_face_directory_in_fp32(zoo: Zoo) -> None:
    directory = zoo("bert", "text-classification")
    model = limbeck.load(directory)
    assert isinstance(model, runtimes.Model)
    assert model.spec.quant.precision == model.describe()["precision"] == "fp32"
    read = huggingface.read(directory)
    rows = models.random_ids("bert", [7, 30, 2])
    wanted = reference.forward(read.spec, read.weights, pack(rows))
    np.testing.assert_allclose(model.forward(rows), wanted, atol=1e-4)
    assert model.spec.task == read.spec.task
    assert model.source == directory


def test_auto_runs_an_artifact_as_stored(zoo: Zoo, stored: Path) -> None:
    model = limbeck.load(stored)
    assert model.spec.quant.precision == "int8"
    same = limbeck.load(zoo("bert", "text-classification"), precision="int8")
    rows = models.random_ids("bert", [7, 30, 2])
    assert np.array_equal(model.forward(rows), same.forward(rows))
    floats = limbeck.load(stored, precision="fp32")
    assert floats.spec.quant.precision == "fp32"
    assert not np.array_equal(floats.forward(rows), model.forward(rows))
    with artifact.read(stored) as opened:
        wanted = reference.forward(opened.spec, opened.weights, pack(rows), "fp32")
        assert model.digest == opened.digest
    np.testing.assert_allclose(floats.forward(rows), wanted, atol=1e-4)


def test_an_fp32_artifact(zoo: Zoo, tmp_path: Path) -> None:
    source = zoo("roberta", "token-classification")
    model = limbeck.load(make_artifact(tmp_path / "artifact", source, "fp32"))
    assert model.spec.quant.precision == "fp32"
    rows = models.random_ids("roberta", [7, 30, 2])
    assert np.array_equal(model.forward(rows), limbeck.load(source).forward(rows))
    quantized = limbeck.load(tmp_path / "artifact", precision="int8")
    assert quantized.spec.quant.precision == "int8"


def test_an_artifact_can_go_while_its_model_runs(stored: Path) -> None:
    """The word embeddings stay mapped; a directory that is replaced or removed takes nothing."""
    model = limbeck.load(stored)
    rows = models.random_ids("bert", [7, 30, 2])
    before = model.forward(rows)
    shutil.rmtree(stored)
    assert np.array_equal(model.forward(rows), before)
    assert model.tokenizer().encode(["a house"], max_tokens=8)[0].ids[0] == 2
    model.describe()


def test_packed_batches_and_type_ids(zoo: Zoo) -> None:
    model = limbeck.load(zoo("bert", "text-classification"))
    rows = models.random_ids("bert", [7, 30, 2])
    types = models.random_type_ids(rows)
    packed = model.forward(pack(rows, types))
    assert np.array_equal(packed, model.forward(rows, types))
    assert not np.array_equal(packed, model.forward(rows))
    with pytest.raises(InputError, match="carries its own type ids"):
        model.forward(pack(rows), types)


@pytest.mark.parametrize(
    ("ids", "types"),
    [
        ([[5, 6], []], None),
        ([[5, "x"]], None),
        ([[5, 2**40]], None),
        ([[5, -3]], None),
        ([[5, 10**6]], None),
        ([[5, 6]], [[0]]),
        ([[5, 6]], [[0, 7]]),
        ([[5] * 161], None),
    ],
)
def test_ids_that_make_no_sense(zoo: Zoo, ids: Any, types: Any) -> None:
    with pytest.raises(InputError):
        limbeck.load(zoo("bert", "text-classification")).forward(ids, types)


def test_an_empty_batch(zoo: Zoo) -> None:
    assert limbeck.load(zoo("bert", "text-classification")).forward([]).shape == (0, 3)
    assert limbeck.load(zoo("bert", "token-classification")).forward([]).shape == (0, 5)


def test_the_tokenizer_is_read_once(zoo: Zoo) -> None:
    model = limbeck.load(zoo("bert", "text-classification"))
    assert model.tokenizer() is model.tokenizer()


def test_texts_are_cut_where_the_directory_says(zoo: Zoo, tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path / "sentence")
    settings = directory / "sentence_bert_config.json"
    settings.write_text(json.dumps({"max_seq_length": 44}))
    model = limbeck.load(directory)
    assert model.spec.task.max_tokens == 44
    assert model.spec.encoder.max_tokens == 160
    copy = make_artifact(tmp_path / "artifact", directory)
    assert limbeck.load(copy).spec.task.max_tokens == 44


def test_describe_is_json_and_complete(stored: Path) -> None:
    found = json.loads(json.dumps(limbeck.load(stored, threads=2).describe()))
    assert found["source"] == str(stored)
    assert found["runtime"] == "limbeck"
    assert found["device"] == "cpu"
    assert found["task"] == "text-classification"
    assert found["architecture"] == "bert"
    assert found["threads"] == 2
    assert found["precision"] == "int8"
    assert found["isa"]
    assert found["stored_bytes"] > 0
    assert {layer["stored_dtype"] for layer in found["layers"][:12]} == {"int8"}
    assert [layer["stored_dtype"] for layer in found["layers"][12:]] == ["fp32", "fp32"]


@pytest.mark.parametrize("block", [(4, 4), (1, 4), (8, 4)])
def test_block_sparse_directories_are_recognised(
    zoo: Zoo, tmp_path: Path, block: tuple[int, int]
) -> None:
    directory = tmp_path / "sparse"
    shutil.copytree(zoo("distilbert", "text-classification"), directory)
    models.make_block_sparse(directory, block, density=0.2)
    rows = models.random_ids("distilbert", [7, 30, 2])
    read = huggingface.read(directory)
    for precision in ("fp32", "int8"):
        model = limbeck.load(directory, precision=precision)
        wanted = reference.forward(read.spec, read.weights, pack(rows), precision)  # type: ignore[arg-type]
        tolerance = 1e-4 if precision == "fp32" else 0.0
        np.testing.assert_allclose(model.forward(rows), wanted, rtol=0, atol=tolerance)
        for layer in model.describe()["layers"]:
            if layer["name"].startswith("layers."):
                assert layer["block"] == list(block)
                assert 0.7 < layer["sparsity"] < 0.9
                assert (layer["pattern"] is None) == (precision == "fp32")
                assert bool(layer["note"]) == (precision == "fp32")
            else:
                assert layer["block"] is None
    # The same through an artifact, which keeps the blocks and takes less room.
    copy = make_artifact(tmp_path / "artifact", directory)
    stored = limbeck.load(copy)
    assert np.array_equal(stored.forward(rows), model.forward(rows))
    assert stored.describe()["layers"][0]["block"] == list(block)
    whole = make_artifact(tmp_path / "whole", zoo("distilbert", "text-classification"))
    sizes = [(path / "model.safetensors").stat().st_size for path in (copy, whole)]
    assert sizes[0] < 0.7 * sizes[1]


# Tasks


def test_an_encoder_of_an_artifact_serves_other_tasks(stored: Path) -> None:
    rows = models.random_ids("bert", [7, 30, 2])
    own = limbeck.load(stored)
    features = limbeck.load(stored, task="feature-extraction")
    assert features.spec.task.head is None
    assert np.array_equal(
        features.forward(rows, output="hidden"), own.forward(rows, output="hidden")
    )
    sentence = limbeck.load(stored, task="sentence-embedding").spec.task
    assert (sentence.task, sentence.pooling) == ("sentence-embedding", ("mean",))
    assert limbeck.load(stored, task="text-classification").spec.task == own.spec.task
    with pytest.raises(ModelError, match="made for text-classification; it has no head"):
        limbeck.load(stored, task="token-classification")
    with pytest.raises(ModelError, match="'poetry' is not supported"):
        limbeck.load(stored, task="poetry")


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, r"precision='fp16' is not supported .*: auto, fp32, bf16, int8"),
        ({"precision": None}, "precision=None"),
        ({"runtime": "onnxruntime"}, r"runtime='onnxruntime' .*: limbeck"),
        ({"device": "cuda"}, r"device='cuda' .*: cpu"),
        ({"instances": 0}, "instances must be in"),
        ({"threads": 0}, "threads must be in"),
    ],
)
def test_options_that_this_version_lacks(zoo: Zoo, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        limbeck.load(zoo("bert", "text-classification"), **options)


def test_options_are_checked_before_the_model_is_looked_for() -> None:
    with pytest.raises(InputError, match="precision"):
        limbeck.load("./absent", precision="int4")


def test_what_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"no config\.json .*no limbeck\.json"):
        limbeck.load(tmp_path)
    with pytest.raises(ModelError, match="no directory"):
        limbeck.load(tmp_path / "absent")
    with pytest.raises(InputError):
        limbeck.load("")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError):
        limbeck.load("owner/name")


def test_a_damaged_artifact(stored: Path) -> None:
    path = stored / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="digest"):
        limbeck.load(stored)


def test_a_pickle(zoo: Zoo, tmp_path: Path) -> None:
    directory = tmp_path / "pickle"
    shutil.copytree(zoo("bert", "text-classification"), directory)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match="save_pretrained"):
        limbeck.load(directory)


def test_a_model_without_a_tokenizer_still_answers_ids(zoo: Zoo, tmp_path: Path) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(zoo("bert", "text-classification"), directory)
    (directory / "tokenizer.json").unlink()
    model = limbeck.load(directory)
    assert model.forward([[5, 6]]).shape == (1, 3)
    with pytest.raises(ModelError, match="tokenizer"):
        model.tokenizer()


def test_nonsense_in_the_environment(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_ISA", "sse9")
    with pytest.raises(EngineError, match="LIMBECK_ISA=sse9 is not available here"):
        limbeck.load(zoo("bert", "text-classification"))


def test_every_refusal_is_one_of_ours(zoo: Zoo, tmp_path: Path) -> None:
    """Cut or flip any part of a model directory: a LimbeckError, or a model that answers."""
    source = zoo("bert", "text-classification")
    rng = np.random.default_rng(0)
    refused = 0
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        for turn in range(12):
            directory = tmp_path / f"{name}-{turn}"
            shutil.copytree(source, directory)
            content = bytearray((directory / name).read_bytes())
            if turn % 3 == 0:
                content = content[: int(rng.integers(0, len(content)))]
            else:
                limit = len(content) if name.endswith("json") else 4000
                for at in rng.integers(0, limit, size=3):
                    content[at] = int(rng.integers(0, 256))
            (directory / name).write_bytes(content)
            try:
                answer = limbeck.load(directory, threads=1).forward([[5, 6, 7]])
            except LimbeckError:
                refused += 1
            else:
                assert answer.shape[0] == 1
            shutil.rmtree(directory)
    assert refused > 10


# Memory


def test_the_unpacked_weights_are_not_kept(tmp_path: Path) -> None:
    """What stays in memory is the packed model, the tables, and no second copy."""
    shape = models.Shape(layers=4, hidden=384, heads=6, ffn=1536)
    directory = models.write(tmp_path / "hf", "bert", "feature-extraction", shape=shape)
    copy = make_artifact(tmp_path / "artifact", directory)
    artifact_bytes = sum(path.stat().st_size for path in copy.iterdir())
    code = f"""
import resource, limbeck
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
model = limbeck.load({str(tmp_path / "warm")!r}, threads=1)
model.forward([[5, 6, 7]], output="hidden")
before = resident()
model = limbeck.load({str(copy)!r}, threads=1)
model.forward([[5, 6, 7]], output="hidden")
print(resident() - before)
"""
    models.write(tmp_path / "warm", "bert", "feature-extraction")
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    grown = int(ran.stdout)
    assert grown < 1.3 * artifact_bytes + 4e6, f"{grown} bytes for {artifact_bytes} stored"


def test_the_arrays_of_a_hugging_face_directory_are_let_go(zoo: Zoo) -> None:
    opened = runtimes.open_source(zoo("bert", "text-classification"))
    arrays = {name: weakref.ref(t.values) for name, t in opened.weights.items()}
    model = runtimes.OwnModel(opened, precision="fp32", threads=1)
    del opened
    gc.collect()
    assert [name for name, array in arrays.items() if array() is not None] == ["embeddings.word"]
    model.tokenizer()
    assert len(model.digest) == 64

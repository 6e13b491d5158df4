"""The numpy oracle gives transformers' answers; the engine is measured against both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import models
from comparing import load_transformers, relative_error, transformers_answers
from limbeck import huggingface
from limbeck.batch import pack
from limbeck.engine import reference
from limbeck.errors import InputError, ModelError

Zoo = Callable[..., Path]
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

LENGTHS = (1, 2, 7, 30, 19, 100, 64, 5)


def check(directory: Path, architecture: str, bound: float = 1e-5) -> None:
    model = huggingface.read(directory)
    rows = models.random_ids(architecture, LENGTHS)
    types = models.random_type_ids(rows) if architecture == "bert" else None
    wanted = transformers_answers(load_transformers(directory), rows, types)
    assert set(wanted) == ({"hidden", "logits"} if model.spec.task.head else {"hidden"})
    for output, answer in wanted.items():
        found = reference.forward(model.spec, model.weights, pack(rows, types), "fp32", output)  # type: ignore[arg-type]
        assert found.dtype == np.float32
        assert relative_error(found, answer) < bound, output


@pytest.mark.parametrize("task", models.TASKS)
@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_every_architecture_and_task(zoo: Zoo, architecture: str, task: str) -> None:
    check(zoo(architecture, task), architecture)


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu"])
@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_activations(zoo: Zoo, architecture: str, activation: str) -> None:
    shape = models.Shape(activation=activation)
    check(zoo(architecture, "feature-extraction", shape=shape), architecture)


def test_an_odd_shape(zoo: Zoo) -> None:
    shape = models.Shape(layers=2, hidden=42, heads=3, ffn=50, positions=101)
    check(zoo("bert", "text-classification", shape=shape), "bert")


def test_the_longest_sequence_of_roberta(zoo: Zoo) -> None:
    directory = zoo("roberta", "feature-extraction")
    model = huggingface.read(directory)
    rows = models.random_ids("roberta", [model.spec.encoder.max_tokens, 3], pad_tokens=False)
    wanted = transformers_answers(load_transformers(directory), rows)["hidden"]
    found = reference.forward(model.spec, model.weights, pack(rows), "fp32", "hidden")
    assert relative_error(found, wanted) < 1e-5


def test_what_transformers_writes_is_read_back(zoo: Zoo, tmp_path: Path) -> None:
    for architecture in models.ARCHITECTURES:
        for task in ("text-classification", "token-classification"):
            before = huggingface.read(zoo(architecture, task))
            load_transformers(zoo(architecture, task)).save_pretrained(tmp_path / architecture)
            after = huggingface.read(tmp_path / architecture)
            assert after.spec == before.spec
            for name, tensor in before.weights.items():
                assert np.array_equal(after.weights[name].values, tensor.values), name


def test_shards_and_half_precision_that_transformers_writes(zoo: Zoo, tmp_path: Path) -> None:
    directory = zoo("bert", "text-classification")
    before = huggingface.read(directory).weights
    model = load_transformers(directory)
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    after = huggingface.read(tmp_path / "shards").weights
    assert all(np.array_equal(after[n].values, t.values) for n, t in before.items())
    for name in ("float16", "bfloat16"):
        half = model.to(getattr(torch, name))
        half.save_pretrained(tmp_path / name)
        after = huggingface.read(tmp_path / name).weights
        wanted = half.bert.encoder.layer[1].output.dense.weight.detach().float().numpy()
        assert np.array_equal(after["layers.1.ffn.out.weight"].values, wanted)


def test_the_converting_command_works(zoo: Zoo, tmp_path: Path) -> None:
    """What the error about pickles tells users to run leaves a directory that can be read."""
    import shlex
    import shutil
    import subprocess
    import sys

    from safetensors.torch import load_file

    directory = tmp_path / "it's a model"
    shutil.copytree(zoo("distilbert", "text-classification"), directory)
    before = huggingface.read(directory).weights
    weights = directory / "model.safetensors"
    torch.save(load_file(weights), directory / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ModelError) as caught:
        huggingface.read(directory)
    command = shlex.split(str(caught.value).partition("in place with: ")[2])
    assert command[:2] == ["python", "-c"]
    subprocess.run([sys.executable, *command[1:]], check=True, capture_output=True)
    after = huggingface.read(directory).weights
    assert all(np.array_equal(after[n].values, t.values) for n, t in before.items())


def test_logits_need_a_head(zoo: Zoo) -> None:
    model = huggingface.read(zoo("bert", "feature-extraction"))
    with pytest.raises(InputError, match="no classification head"):
        reference.forward(model.spec, model.weights, pack([[1, 2]]))

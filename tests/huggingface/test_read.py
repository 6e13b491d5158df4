"""Model directories -> spec and weights; what is no model is refused with a way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import models
from limbeck import huggingface
from limbeck.errors import ModelError
from limbeck.tensors import expected_tensors

Zoo = Callable[..., Path]


def edit_config(directory: Path, **fields: Any) -> Path:
    path = directory / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    return directory


def edit_weights(directory: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    arrays = load_file(directory / "model.safetensors")
    change(arrays)
    save_file(arrays, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


@pytest.fixture
def copy(zoo: Zoo, tmp_path: Path) -> Callable[..., Path]:
    """A directory of the zoo that a test may change."""

    def get(architecture: str = "bert", task: str = "text-classification") -> Path:
        target = tmp_path / "copy"
        shutil.copytree(zoo(architecture, task), target)
        return target

    return get


@pytest.mark.parametrize("task", models.TASKS)
@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_every_tensor_is_there_with_its_shape(zoo: Zoo, architecture: str, task: str) -> None:
    model = huggingface.read(zoo(architecture, task))
    spec = model.spec
    assert spec.encoder.architecture == architecture
    assert spec.task.task == task
    assert spec.quant.precision == "fp32"
    expected = {
        name: shape
        for name, shape, _ in expected_tensors(spec.encoder, spec.task.head, len(spec.task.labels))
    }
    assert {name: tensor.shape for name, tensor in model.weights.items()} == expected
    assert all(t.values.dtype == np.float32 for t in model.weights.values())


def test_encoder_spec_of_each_family(zoo: Zoo) -> None:
    shape = models.Shape()
    for architecture in models.ARCHITECTURES:
        encoder = huggingface.read(zoo(architecture, "feature-extraction")).spec.encoder
        roberta = architecture not in ("bert", "distilbert")
        assert asdict(encoder) == {
            "architecture": architecture,
            "layers": shape.layers,
            "hidden": shape.hidden,
            "heads": shape.heads,
            "ffn": shape.ffn,
            "vocab": models.vocabulary_size(),
            "positions": shape.positions,
            "types": {"bert": 2, "distilbert": 0}.get(architecture, 1),
            "activation": "gelu",
            "norm_eps": 1e-5 if roberta else 1e-12,
            "position_mode": "after_padding" if roberta else "absolute",
            "pad_id": 1 if roberta else 0,
        }
        assert encoder.max_tokens == models.max_tokens(architecture, shape)


def test_heads_are_transformers_own(zoo: Zoo) -> None:
    dense = {"bert": "tanh", "distilbert": "relu", "roberta": "tanh"}
    for architecture, activation in dense.items():
        head = huggingface.read(zoo(architecture, "text-classification")).spec.task.head
        assert head is not None
        assert (head.kind, head.dense) == ("sequence", activation)
        head = huggingface.read(zoo(architecture, "token-classification")).spec.task.head
        assert head is not None
        assert (head.kind, head.dense) == ("token", None)
        assert huggingface.read(zoo(architecture, "feature-extraction")).spec.task.head is None


def test_labels_keep_the_order_of_their_ids(copy: Callable[..., Path]) -> None:
    directory = edit_config(copy(), id2label={"2": "c", "0": "a", "1": "b"})
    assert huggingface.read(directory).spec.task.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("single_label_classification", "single_label"),
        ("multi_label_classification", "multi_label"),
        ("regression", "regression"),
        (None, None),
    ],
)
def test_problem_type(copy: Callable[..., Path], name: str | None, problem: str | None) -> None:
    assert huggingface.read(edit_config(copy(), problem_type=name)).spec.task.problem == problem


def test_absent_labels_take_transformers_names(zoo: Zoo, tmp_path: Path) -> None:
    directory = models.write(
        tmp_path / "two",
        "bert",
        "text-classification",
        labels=("x", "y"),
        config={"id2label": None},
    )
    assert huggingface.read(directory).spec.task.labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("name", "activation"),
    [("gelu_new", "gelu_tanh"), ("gelu_pytorch_tanh", "gelu_tanh"), ("relu", "relu")],
)
def test_activations(copy: Callable[..., Path], name: str, activation: str) -> None:
    assert (
        huggingface.read(edit_config(copy(), hidden_act=name)).spec.encoder.activation == activation
    )


def test_an_encoder_can_be_taken_from_under_a_head(zoo: Zoo) -> None:
    directory = zoo("roberta", "text-classification")
    model = huggingface.read(directory, task="feature-extraction")
    assert model.spec.task.head is None
    assert not any(name.startswith("head.") for name in model.weights)
    sentence = huggingface.read(directory, task="sentence-embedding").spec.task
    assert (sentence.pooling, sentence.normalize) == (("mean",), False)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_floats_become_float32(copy: Callable[..., Path], dtype: str) -> None:
    directory = copy()
    before = huggingface.read(directory).weights
    if dtype == "bfloat16":
        _store_as_bfloat16(directory)
    else:
        edit_weights(directory, lambda a: a.update({k: v.astype(dtype) for k, v in a.items()}))
    after = huggingface.read(directory).weights
    steps = {"float16": 2**-11, "float64": 0.0, "bfloat16": 2**-7}
    for name, tensor in before.items():
        assert after[name].values.dtype == np.float32
        # float16 has a smallest step of 2**-25 near zero
        np.testing.assert_allclose(
            after[name].values, tensor.values, rtol=steps[dtype], atol=2**-24 * (dtype == "float16")
        )
        if dtype != "float64" and tensor.values.size > 10:
            assert not np.array_equal(after[name].values, tensor.values)


def _store_as_bfloat16(directory: Path) -> None:
    """Write the file by hand: numpy has no bfloat16. The upper halves are cut, not rounded."""
    arrays = load_file(directory / "model.safetensors")
    header, body = {}, b""
    for name, values in arrays.items():
        half = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(values.shape),
            "data_offsets": [len(body), len(body) + len(half)],
        }
        body += half
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)


def _shard(directory: Path) -> dict[str, str]:
    arrays = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    index: dict[str, str] = {}
    for part in range(3):
        names = list(arrays)[part::3]
        file = f"model-0000{part + 1}-of-00003.safetensors"
        save_file({name: arrays[name] for name in names}, directory / file)
        index |= dict.fromkeys(names, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return index


def test_shards(zoo: Zoo, copy: Callable[..., Path]) -> None:
    directory = copy()
    before = huggingface.read(directory).weights
    _shard(directory)
    after = huggingface.read(directory).weights
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[n].values, after[n].values) for n in before)


def test_a_shard_that_is_missing(copy: Callable[..., Path]) -> None:
    directory = copy()
    file = next(iter(_shard(directory).values()))
    (directory / file).unlink()
    with pytest.raises(ModelError, match=rf"{file}, which is missing"):
        huggingface.read(directory)


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "", "..", 3])
def test_an_index_that_leaves_the_directory(copy: Callable[..., Path], file: object) -> None:
    directory = copy()
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": file}}))
    with pytest.raises(ModelError, match="no file of this directory"):
        huggingface.read(directory)


def test_an_index_that_is_wrong_about_a_tensor(copy: Callable[..., Path]) -> None:
    directory = copy()
    index = _shard(directory)
    index["classifier.weight"] = next(f for f in index.values() if f != index["classifier.weight"])
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(ModelError, match=r"holds classifier\.weight; it does not"):
        huggingface.read(directory)


def test_old_names_of_layer_norms(copy: Callable[..., Path]) -> None:
    directory = copy()
    before = huggingface.read(directory).weights

    def rename(arrays: dict[str, Any]) -> None:
        for name in [n for n in arrays if "LayerNorm" in n]:
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            arrays[new.replace("LayerNorm.bias", "LayerNorm.beta")] = arrays.pop(name)

    after = huggingface.read(edit_weights(directory, rename)).weights
    assert all(np.array_equal(before[n].values, after[n].values) for n in before)


def test_weights_are_read_by_name_not_by_order(copy: Callable[..., Path]) -> None:
    directory = copy("distilbert")
    before = huggingface.read(directory).weights

    def shuffle(arrays: dict[str, Any]) -> None:
        for name in sorted(arrays, reverse=True):
            arrays[name] = arrays.pop(name)

    after = huggingface.read(edit_weights(directory, shuffle)).weights
    assert all(np.array_equal(before[n].values, after[n].values) for n in before)


# What is refused


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no directory"):
        huggingface.read(tmp_path / "absent")


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model directory: it has no config\.json"):
        huggingface.read(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff", "[" * 100_000])
def test_a_config_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"config\.json"):
        huggingface.read(tmp_path)


@pytest.mark.parametrize("kind", ["gpt2", "t5", "deberta-v2", "bert2", 7, None])
def test_an_unsupported_architecture_names_the_supported(
    copy: Callable[..., Path], kind: object
) -> None:
    directory = edit_config(copy(), model_type=kind, architectures=None)
    with pytest.raises(
        ModelError, match=r"supported: bert, distilbert, roberta, camembert, xlm-rob"
    ):
        huggingface.read(directory)


def test_custom_code_on_a_known_family(copy: Callable[..., Path]) -> None:
    directory = edit_config(copy(), architectures=["JinaBertForSequenceClassification"])
    with pytest.raises(ModelError, match="JinaBertForSequenceClassification is not one of"):
        huggingface.read(directory)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"is_decoder": True}, "only encoders"),
        ({"add_cross_attention": True}, "only encoders"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_act": "silu"}, "activation 'silu' is not supported; supported: gelu"),
        ({"hidden_act": None}, "activation None"),
        ({"quantization_config": {"bits": 4}}, "precision='int8'"),
        ({"num_attention_heads": 5}, "does not divide"),
        ({"hidden_size": "72"}, "hidden_size must be a number"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be a number"),
        ({"num_hidden_layers": 0}, "layers must be in"),
        ({"layer_norm_eps": 0}, "norm_eps"),
        ({"hidden_size": 48}, "has shape"),
        ({"num_hidden_layers": 4}, r"no tensor bert\.encoder\.layer\.3"),
        ({"vocab_size": 10}, "word_embeddings.weight has shape"),
        ({"id2label": {"0": "a", "1": "b"}}, r"classifier has 3 rows .* 2 labels"),
        ({"id2label": {"0": "a", "1": "b", "3": "c"}}, "must number labels"),
        ({"id2label": {"0": "a", "x": "b"}}, "bad entry"),
        ({"id2label": ["a", "b", "c"]}, "must map"),
        ({"id2label": None, "num_labels": 10**12}, "num_labels"),
        ({"id2label": None, "num_labels": 0}, "num_labels"),
        ({"problem_type": "ranking"}, "problem_type 'ranking'"),
        ({"architectures": ["BertForMultipleChoice"]}, "task='feature-extraction'"),
        ({"model_type": "distilbert", "architectures": None}, "no tensor"),
    ],
)
def test_configurations_that_are_refused(
    copy: Callable[..., Path], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        huggingface.read(edit_config(copy(), **fields))


def test_roberta_needs_its_padding_id(copy: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="pad_token_id"):
        huggingface.read(edit_config(copy("roberta"), pad_token_id=None))


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ("feature-extraction", "text-classification"),
        ("token-classification", "text-classification"),
        ("text-classification", "token-classification"),
    ],
)
def test_a_task_without_its_head(zoo: Zoo, own: str, asked: str) -> None:
    with pytest.raises(ModelError, match="fine-tune it"):
        huggingface.read(zoo("bert", own), task=asked)


def test_an_unknown_task(zoo: Zoo) -> None:
    with pytest.raises(ModelError, match="supported: text-classification, token-classification"):
        huggingface.read(zoo("bert", "feature-extraction"), task="summarization")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(copy: Callable[..., Path], value: float) -> None:
    def spoil(arrays: dict[str, Any]) -> None:
        arrays["bert.encoder.layer.1.output.dense.weight"][3, 5] = value

    with pytest.raises(ModelError, match=r"layers\.1\.ffn\.out\.weight holds NaN or infinity"):
        huggingface.read(edit_weights(copy(), spoil))


def test_large_finite_weights_pass(copy: Callable[..., Path]) -> None:
    def enlarge(arrays: dict[str, Any]) -> None:
        arrays["bert.encoder.layer.1.output.dense.weight"][:] = 3e38

    huggingface.read(edit_weights(copy(), enlarge))


def test_integer_weights_are_refused(copy: Callable[..., Path]) -> None:
    def spoil(arrays: dict[str, Any]) -> None:
        arrays["classifier.weight"] = arrays["classifier.weight"].astype(np.int8)

    with pytest.raises(ModelError, match=r"classifier\.weight is I8; supported: F32"):
        huggingface.read(edit_weights(copy(), spoil))


def test_a_missing_tensor_is_named(copy: Callable[..., Path]) -> None:
    directory = edit_weights(copy(), lambda a: a.pop("classifier.bias"))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"no tensor classifier\.bias"):
        huggingface.read(directory)


def test_two_encoders_in_one_file(copy: Callable[..., Path]) -> None:
    def spoil(arrays: dict[str, Any]) -> None:
        arrays.update({f"other.{name}": values.copy() for name, values in list(arrays.items())})

    with pytest.raises(ModelError, match="2 word embedding tables"):
        huggingface.read(edit_weights(copy(), spoil))


def test_a_truncated_weight_file(copy: Callable[..., Path]) -> None:
    directory = copy()
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a safetensors file"):
        huggingface.read(directory)


def test_a_pointer_of_git_lfs(copy: Callable[..., Path]) -> None:
    directory = copy()
    (directory / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="git lfs pull"):
        huggingface.read(directory)


def test_a_directory_without_weights(copy: Callable[..., Path]) -> None:
    directory = copy()
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        huggingface.read(directory)


def test_a_pickle_is_not_read_and_the_way_out_is_named(copy: Callable[..., Path]) -> None:
    directory = copy()
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        huggingface.read(directory)
    message = str(caught.value)
    assert "pytorch_model.bin, a pickle" in message
    assert "from transformers import BertForSequenceClassification" in message
    assert f"save_pretrained({str(directory)!r})" in message.replace("'\"'\"'", "'")

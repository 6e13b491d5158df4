"""The peer's graphs answer as torch does, are fused, and are refused when they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from limbeck.bench import models, onnx_export, onnx_run
from limbeck.bench.padding import pad
from limbeck.errors import MissingExtraError, ModelError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

F32 = npt.NDArray[np.float32]

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 500,
    "max_position_embeddings": 80,
}
LENGTHS = (3, 7, 40, 20, 33, 11)


def rows() -> list[list[int]]:
    full = models.token_ids(len(LENGTHS), max(LENGTHS), vocab=500)
    return [row[:length] for row, length in zip(full, LENGTHS, strict=True)]


def relative_error(found: F32, wanted: F32) -> float:
    found, wanted = found - found.mean(0), wanted - wanted.mean(0)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def save(model: Any, directory: Path) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    model.eval().save_pretrained(directory)
    return model


def answers(model: Any, pad_id: int) -> dict[str, F32]:
    ids, mask = pad(rows(), value=pad_id)
    with torch.no_grad():
        found = model(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            output_hidden_states=True,
        )

    def packed(values: F32) -> F32:
        if values.ndim == 2:
            return values
        return np.concatenate([values[i, :length] for i, length in enumerate(LENGTHS)])

    outputs = {"hidden": packed(found.hidden_states[-1].numpy())}
    if hasattr(found, "logits"):
        outputs["logits"] = packed(found.logits.numpy())
    return outputs


def network(kind: str) -> tuple[Any, int]:
    if kind == "bert-tokens":
        config = transformers.BertConfig(**SMALL, num_labels=5)
        return transformers.BertForTokenClassification(config), 0
    if kind == "bert-tanh":
        config = transformers.BertConfig(**SMALL, num_labels=2, hidden_act="gelu_new")
        return transformers.BertForSequenceClassification(config), 0
    config = transformers.RobertaConfig(**SMALL, pad_token_id=1, type_vocab_size=1)
    return transformers.RobertaModel(config), 1


@pytest.mark.parametrize("kind", ["bert-tokens", "bert-tanh", "roberta-bare"])
def test_exported_graphs_answer_as_torch_does(kind: str, tmp_path: Path) -> None:
    model, pad_id = network(kind)
    wanted = answers(save(model, tmp_path / "hf"), pad_id)
    paths = onnx_export.export(tmp_path / "hf", tmp_path / "onnx")
    assert paths.fused["Attention"] == 2
    assert paths.fused["SkipLayerNormalization"] >= 4
    for file, low, high in ((paths.plain, 0, 1e-5), (paths.fp32, 0, 1e-5), (paths.int8, 1e-3, 0.2)):
        session = onnx_run.OnnxModel(file, threads=1, pad_id=pad_id)
        assert set(session.outputs) == set(wanted)
        for output, values in wanted.items():
            found = session.forward(rows(), output=output)
            assert found.shape == values.shape
            assert low <= relative_error(found, values) <= high, (file.name, output)


def test_second_export_is_reused_until_the_weights_change(tmp_path: Path) -> None:
    shape = models.Shape(layers=1, hidden=32, heads=2, ffn=64, vocab=600, positions=64, labels=2)
    directory = models.write_model(tmp_path / "hf", shape)
    first = onnx_export.export(directory, tmp_path / "onnx")
    stamp = first.int8.stat().st_mtime_ns
    assert onnx_export.export(directory, tmp_path / "onnx") == first
    assert first.int8.stat().st_mtime_ns == stamp
    models.write_model(directory, shape, seed=1)
    onnx_export.export(directory, tmp_path / "onnx")
    assert first.int8.stat().st_mtime_ns > stamp


def test_a_graph_that_did_not_fuse_is_refused(tmp_path: Path) -> None:
    shape = models.Shape(layers=1, hidden=32, heads=2, ffn=64, vocab=600, positions=64, labels=2)
    directory = models.write_model(tmp_path / "hf", shape)
    model = onnx_export.load(directory)
    onnx_export.trace(model, tmp_path / "plain.onnx")
    model.config.num_hidden_layers = 2  # as if fusion had found only half of the layers
    with pytest.raises(ModelError, match="did not fuse") as failure:
        onnx_export._fuse(tmp_path / "plain.onnx", tmp_path / "fp32.onnx", model)
    assert "Attention" in str(failure.value)
    assert not (tmp_path / "fp32.onnx").exists()


def test_directories_that_are_no_models_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        onnx_export.export(tmp_path, tmp_path / "onnx")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "bert", "architectures": ["NoSuchModel"]}), encoding="utf-8"
    )
    with pytest.raises(ModelError, match="no architecture"):
        onnx_export.export(tmp_path, tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"limbeck\[bench\]"):
        onnx_export.export(tmp_path, tmp_path / "onnx")

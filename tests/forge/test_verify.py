"""verify and export: every kind of disagreement is seen, and nothing unverified gets a name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from limbeck import artifact, runtimes
from limbeck.errors import ArtifactError, InputError, ModelError, VerifyError
from limbeck.spec import Threshold
from limbeck.tensors import Tensor

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from limbeck.forge import checkpoint, verify  # noqa: E402
from limbeck.forge.export import export  # noqa: E402
from limbeck.forge.golden import golden_inputs  # noqa: E402

pytestmark = pytest.mark.torch

Zoo = Callable[..., Path]
SMALL = models.Shape(layers=2)


@pytest.fixture(scope="module")
def source(zoo: Zoo) -> Path:
    return zoo("bert", "text-classification", shape=SMALL)


@pytest.fixture(scope="module")
def int8(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "artifact"
    export(source, out, "int8")
    return out


@pytest.fixture(scope="module")
def fp32(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fp32") / "artifact"
    export(source, out, "fp32")
    return out


@pytest.mark.parametrize("task", models.TASKS)
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_a_directory_agrees_with_itself_in_torch(zoo: Zoo, architecture: str, task: str) -> None:
    report = verify.verify(zoo(architecture, task, shape=SMALL), task=task)
    assert report.passed
    compared = {(row.found, row.expected) for row in report.comparisons}
    assert compared == {
        ("engine", "oracle"),
        ("fp32 oracle", "torch"),
        ("fp32 engine", "torch"),
    }
    assert all(row.limit == 1e-4 for row in report.comparisons)
    assert max(row.error for row in report.comparisons) < 1e-5
    assert min(row.error for row in report.comparisons) > 0, "something was compared with itself"
    assert {1, 2, 64, 129} <= set(report.lengths)


def test_a_sentence_model_is_verified_on_its_hidden_states(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path / "model", shape=SMALL)
    report = export(directory, tmp_path / "out").report
    assert report.passed
    assert {row.output for row in report.comparisons} == {"hidden"}


def test_an_int8_artifact_is_held_to_every_bit_of_its_oracle(int8: Path, source: Path) -> None:
    report = verify.verify(int8, against=source)
    rows = {(row.found, row.expected, row.output): row for row in report.comparisons}
    for output in ("hidden", "logits"):
        assert rows["int8 engine", "int8 oracle", output].error == 0
        assert rows["int8 engine", "int8 oracle", output].limit == 0
        assert rows["int8 engine", "fp32 oracle", output].limit is None
    assert 0.005 < rows["int8 engine", "fp32 oracle", "hidden"].error < 0.2, "int8 did not run"
    assert rows["int8 engine", "torch", "logits"].limit is None
    assert rows["int8 engine", "torch", "hidden"].limit == 0.25


def test_without_a_source_the_engine_is_held_to_the_oracle(int8: Path, fp32: Path) -> None:
    for path in (int8, fp32):
        report = verify.verify(path)
        assert report.passed
        assert report.against is None
        assert any(row.limit is not None for row in report.comparisons)


def changed(
    artifact_path: Path, out: Path, change: Callable[[dict[str, Tensor], Any], Any]
) -> Path:
    """A copy of an artifact whose weights or spec were changed before it was written."""
    with artifact.read(artifact_path) as stored:
        weights, spec = dict(stored.weights), stored.spec
        spec = change(weights, spec) or spec
        artifact.write(
            out,
            spec=spec,
            weights=weights,
            tokenizer_json=stored.tokenizer_bytes(),
            lineage=stored.lineage,
        )
    return out


def test_weights_of_another_model_are_seen(fp32: Path, source: Path, tmp_path: Path) -> None:
    def swap(weights: dict[str, Tensor], spec: Any) -> None:
        name = "layers.1.ffn.out.bias"
        values = weights[name].values.copy()
        values[3] += 1e-3
        weights[name] = Tensor(shape=values.shape, values=values)

    path = changed(fp32, tmp_path / "swapped", swap)
    assert verify.verify(path).passed  # alone it is a model like any other
    with pytest.raises(VerifyError, match=r"1 tensors are not those of the source .*ffn.out.bias"):
        verify.verify(path, against=source)


def test_a_wrong_constant_is_seen(fp32: Path, source: Path, tmp_path: Path) -> None:
    def other_gelu(weights: dict[str, Tensor], spec: Any) -> Any:
        return replace(spec, encoder=replace(spec.encoder, activation="gelu_tanh"))

    path = changed(fp32, tmp_path / "gelu", other_gelu)
    with pytest.raises(VerifyError, match=r"fp32 oracle against torch, hidden: .* limit 0.0001"):
        verify.verify(path, against=source)


def test_one_wrong_scale_of_an_int8_row_is_seen(int8: Path, source: Path, tmp_path: Path) -> None:
    def scaled(weights: dict[str, Tensor], spec: Any) -> None:
        name = "layers.0.attention.value.weight"
        old = weights[name]
        assert old.scale is not None
        scale = old.scale.copy()
        scale[7] *= 1.01
        weights[name] = Tensor(shape=old.shape, values=old.values, scale=scale)

    path = changed(int8, tmp_path / "scaled", scaled)
    with pytest.raises(VerifyError, match=r"attention.value.weight"):
        verify.verify(path, against=source)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_engine_that_is_slightly_off_is_seen(
    int8: Path, fp32: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    path = int8 if precision == "int8" else fp32
    real = runtimes.OwnModel.forward

    def off(self: Any, ids: Any, type_ids: Any = None, *, output: Any = "logits") -> Any:
        found = real(self, ids, type_ids, output=output)
        noise = np.random.default_rng(0).normal(0, 1, found.shape[-1]).astype(np.float32)
        return found + 1e-3 * found.std() * noise

    monkeypatch.setattr(runtimes.OwnModel, "forward", off)
    with pytest.raises(VerifyError, match="engine against"):
        verify.verify(path)


def test_an_int8_kernel_that_rounds_otherwise_is_seen(
    int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far below the noise of int8 itself: the last bit of one number."""
    real = runtimes.OwnModel.forward

    def nudged(self: Any, ids: Any, type_ids: Any = None, *, output: Any = "logits") -> Any:
        found = real(self, ids, type_ids, output=output)
        found[-1, -1] = np.nextafter(found[-1, -1], np.float32(np.inf))
        return found

    monkeypatch.setattr(runtimes.OwnModel, "forward", nudged)
    with pytest.raises(VerifyError, match="int8 engine against int8 oracle"):
        verify.verify(int8)


def test_an_answer_that_depends_on_its_batch_mates_is_seen(
    fp32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runtimes.OwnModel.forward

    def leaky(self: Any, ids: Any, type_ids: Any = None, *, output: Any = "logits") -> Any:
        found = real(self, ids, type_ids, output=output)
        return found * np.float32(1 + 1e-7) if ids.sequences == 1 else found

    monkeypatch.setattr(runtimes.OwnModel, "forward", leaky)
    with pytest.raises(VerifyError, match="differently alone than beside others"):
        verify.verify(fp32)


def test_another_tokenizer_is_seen(source: Path, int8: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(source, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(VerifyError, match="other token ids in transformers"):
        verify.verify(int8, against=other)


def test_golden_inputs_have_many_lengths_and_stay_within_the_positions(zoo: Zoo) -> None:
    stored = runtimes.open_source(zoo("roberta", "text-classification", shape=SMALL))
    golden = golden_inputs(stored.spec.encoder, stored.tokenizer())
    assert max(golden.lengths) <= stored.spec.encoder.max_tokens
    assert len(golden.lengths) > 12
    assert golden.type_ids is None
    bert = runtimes.open_source(zoo("bert", "text-classification", shape=SMALL))
    typed = golden_inputs(bert.spec.encoder, bert.tokenizer())
    assert typed.type_ids is not None
    assert {kind for row in typed.type_ids for kind in row} == {0, 1}


def test_export_keeps_the_threshold_and_replaces_an_older_artifact(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "artifact"
    first = export(source, out)
    threshold = Threshold(label="positive", value=0.7, false_alarm_rate=0.01)
    second = export(source, out, threshold=threshold, max_tokens=48)
    assert first.digest != second.digest
    with artifact.read(out) as stored:
        assert stored.digest == second.digest
        assert stored.spec.task.threshold == threshold
        assert stored.spec.task.max_tokens == 48
        assert stored.spec.quant.precision == "int8"
        assert stored.lineage["made_by"]["torch"] == torch.__version__
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"], "something was left behind"


def test_export_with_static_ranges(source: Path, tmp_path: Path) -> None:
    texts = [
        "The flat is on the fourth floor, without a lift.",
        "Ten minutes on foot.",
        "Hello",
    ] * 5
    made = export(source, tmp_path / "static", calibrate=texts)
    rows = {(row.found, row.expected, row.output): row.error for row in made.report.comparisons}
    assert rows["int8 engine", "int8 oracle", "hidden"] == 0
    model = runtimes.load(tmp_path / "static")
    assert model.describe()["activations"] == "static"
    dynamic = export(source, tmp_path / "dynamic")
    assert dynamic.digest != made.digest
    assert export(source, tmp_path / "again", calibrate=texts).digest == made.digest
    with pytest.raises(InputError, match="static ranges are for int8"):
        export(source, tmp_path / "floats", "fp32", calibrate=texts)


def test_a_failed_verification_leaves_everything_as_it_was(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "artifact"
    with monkeypatch.context() as patch:
        patch.setattr(verify, "_torch", lambda *_: wrong_answers(source))
        with pytest.raises(VerifyError):
            export(source, out)
    assert list(tmp_path.iterdir()) == []
    digest = export(source, out).digest
    with monkeypatch.context() as patch:
        patch.setattr(verify, "_torch", lambda *_: wrong_answers(source))
        with pytest.raises(VerifyError):
            export(source, out, "fp32")
    with artifact.read(out) as stored:
        assert stored.digest == digest
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def wrong_answers(source: Path) -> dict[str, np.ndarray]:
    stored = runtimes.open_source(source)
    golden = golden_inputs(stored.spec.encoder, stored.tokenizer())
    draw = np.random.default_rng(0)
    return {
        "hidden": draw.normal(0, 1, (golden.tokens, 72)).astype(np.float32),
        "logits": draw.normal(0, 1, (len(golden.ids), 3)).astype(np.float32),
    }


def test_export_does_not_write_over_other_files(source: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="holds files but no artifact"):
        export(source, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_cutting_beyond_the_positions_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="161 tokens: the model has positions for 160"):
        export(source, tmp_path / "out", max_tokens=161)


def pickled(source: Path, target: Path, contents: Any = None) -> Path:
    """The same model with pytorch_model.bin in place of safetensors."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(source / "model.safetensors") if contents is None else contents
    torch.save(tensors, target / "pytorch_model.bin")
    return target


def test_a_pickled_model_gives_the_same_artifact(source: Path, int8: Path, tmp_path: Path) -> None:
    directory = pickled(source, tmp_path / "pickled")
    made = export(directory, tmp_path / "out")
    with artifact.read(int8) as stored:
        assert made.digest == stored.digest
    assert sorted(path.name for path in directory.glob("*.safetensors")) == []


class Payload:
    """Unpickling this writes a file, were code in it allowed to run."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.witness, "ran"))


def test_code_in_a_pickle_never_runs(source: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    directory = pickled(source, tmp_path / "evil", {"a": Payload(witness)})
    with pytest.raises(ModelError, match="holds code, which limbeck never runs"):
        export(directory, tmp_path / "out")
    assert not witness.exists()
    with pytest.raises(ModelError, match="table of named tensors"):
        export(pickled(source, tmp_path / "list", [torch.zeros(2)]), tmp_path / "out")
    half = pickled(source, tmp_path / "half")
    data = (half / "pytorch_model.bin").read_bytes()
    (half / "pytorch_model.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="damaged"):
        export(half, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_saved_checkpoint_comes_back_and_reads_alike_in_transformers(
    source: Path, tmp_path: Path
) -> None:
    import transformers

    directory = tmp_path / "source"
    shutil.copytree(source, directory)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    # the trap of all-MiniLM-L6-v2's file: it cuts and pads on its own
    tokenizer["truncation"] = {
        "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    tokenizer["padding"] = {
        "strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    loaded = checkpoint.load(directory)
    loaded.save(tmp_path / "saved")
    again = checkpoint.load(tmp_path / "saved")
    assert again.digest == loaded.digest
    assert again.labels == models.SEQUENCE_LABELS
    assert again.max_tokens == 160
    saved = json.loads((tmp_path / "saved" / "tokenizer.json").read_text())
    assert saved["truncation"] is None
    assert saved["padding"] is None
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = "the quiet flat with a view " * 60
    ids = theirs(text, truncation=True)["input_ids"]
    assert len(ids) == 160
    assert ids == again.tokenizer.encode([text], max_tokens=160)[0].ids


def test_a_model_without_a_trained_head_is_no_teacher(zoo: Zoo) -> None:
    with pytest.raises(ModelError):
        checkpoint.load(zoo("bert", "feature-extraction", shape=SMALL))


def test_tied_weights_survive_the_conversion(source: Path, tmp_path: Path) -> None:
    tensors = load_file(source / "model.safetensors")
    tensors["extra.tied"] = tensors["bert.embeddings.word_embeddings.weight"]
    directory = pickled(source, tmp_path / "tied", tensors)
    checkpoint.convert_pickle(directory, tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(found["extra.tied"], tensors["extra.tied"])
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()
    save_file(found, tmp_path / "again.safetensors")

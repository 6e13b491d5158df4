"""Stage "qat" of a recipe, and what its export stage asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

import recipes
from limbeck import artifact
from limbeck.errors import InputError

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

from limbeck.forge import checkpoint, recipe
from limbeck.forge.recipe.stages.export import ExportStage
from limbeck.forge.verify import VerifyError, verify

pytestmark = pytest.mark.torch

QAT = """[[stage]]
kind = "qat"
activations = "static"
observer = "percentile"
calibrate = 30
epochs = 1
batch_size = 16

[[stage]]
kind = "export"
"""


def test_a_student_trained_for_int8(tmp_path: Path) -> None:
    text = recipes.RECIPE.replace('[[stage]]\nkind = "export"\n', QAT)
    options = recipe.Options(resamples=20, lengths=())
    found = recipe.run(recipe.read(recipes.write(tmp_path, text)), options)
    assert [step.output.kind for step in found.steps][:4] == [
        "teacher",
        "student",
        "quantized",
        "artifact",
    ]
    model = checkpoint.load(tmp_path / "run" / "3-qat")
    assert model.lineage["step"] == "qat"
    assert model.lineage["config"]["distil"]["training"]["learning_rate"] == 1e-5
    with artifact.read(found.artifact) as stored:
        assert stored.spec.quant.activations == "static"
        ends = model.lineage["static_ranges"]["layers.0.attention.range"]
        assert stored.weights["layers.0.attention.range"].values.tolist() == ends


def test_a_smoothed_artifact_is_verified_by_its_answers(tmp_path: Path) -> None:
    text = recipes.RECIPE.replace('kind = "export"\n', 'kind = "export"\nsmooth = 0.5\n')
    options = recipe.Options(resamples=20, lengths=())
    found = recipe.run(recipe.read(recipes.write(tmp_path, text)), options)
    source = tmp_path / "run" / "2-distil"
    assert verify(found.artifact, against=source).passed
    with pytest.raises(VerifyError, match="tensors are not those of the source"):
        verify(found.artifact, against=source, same_weights=True)


def test_what_export_cannot_be_asked() -> None:
    for bad in (
        {"observer": "median"},
        {"smooth": 2.0},
        {"smooth": 0.5, "precision": "fp32"},
        {"calibrate": 8, "precision": "fp32"},
    ):
        with pytest.raises(InputError):
            ExportStage(**bad)  # type: ignore[arg-type]

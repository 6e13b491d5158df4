"""The native engine against transformers, the oracle, and ONNX Runtime's int8.

The bars: fp32 within 1e-4 of transformers, and int8 with at most 1.5 times the error of ONNX
Runtime's dynamic int8, as relative L2 distance of logits and hidden states, centred over inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import models
from comparing import F32, load_transformers, relative_error, transformers_answers
from limbeck import huggingface
from limbeck.batch import PackedBatch, pack
from limbeck.engine import Engine, isas
from limbeck.huggingface import HuggingFaceModel

Zoo = Callable[..., Path]
pytest.importorskip("torch")
pytestmark = pytest.mark.torch

FP32_BAR = 1e-4
INT8_BAR = 1.5
LENGTHS = (3, 2, 7, 30, 19, 100, 64, 5, 47, 128, 11, 16)
HEADED = ("text-classification", "token-classification")


@dataclass(frozen=True)
class Case:
    """A model, a batch, and what transformers answers."""

    directory: Path
    model: HuggingFaceModel
    rows: list[list[int]]
    types: list[list[int]] | None
    wanted: dict[str, F32]

    @property
    def batch(self) -> PackedBatch:
        return pack(self.rows, self.types)


@pytest.fixture(scope="module")
def case(zoo: Zoo) -> Callable[[str, str], Case]:
    made: dict[tuple[str, str], Case] = {}

    def get(architecture: str, task: str) -> Case:
        if (architecture, task) not in made:
            directory = zoo(architecture, task)
            rows = models.random_ids(architecture, LENGTHS)
            types = models.random_type_ids(rows) if architecture == "bert" else None
            wanted = transformers_answers(load_transformers(directory), rows, types)
            model = huggingface.read(directory)
            made[architecture, task] = Case(directory, model, rows, types, wanted)
        return made[architecture, task]

    return get


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("task", models.TASKS)
@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_fp32_equals_transformers(
    case: Callable[[str, str], Case], architecture: str, task: str, isa: str
) -> None:
    given = case(architecture, task)
    engine = Engine(given.model.spec, given.model.weights, precision="fp32", threads=2, isa=isa)
    assert engine.describe()["isa"] == isa
    for output, wanted in given.wanted.items():
        found = engine.forward(given.batch, output)  # type: ignore[arg-type]
        assert found.dtype == np.float32
        assert relative_error(found, wanted) < FP32_BAR, output


@pytest.mark.parametrize("task", HEADED)
@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_int8_is_as_close_as_the_peer(
    case: Callable[[str, str], Case],
    tmp_path_factory: pytest.TempPathFactory,
    architecture: str,
    task: str,
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from limbeck.bench import onnx_export
    from limbeck.bench.onnx_run import OnnxModel

    given = case(architecture, task)
    paths = onnx_export.export(given.directory, tmp_path_factory.mktemp("onnx") / "model")
    spec, weights = given.model.spec, given.model.weights
    engine = Engine(spec, weights, precision="int8", threads=2)
    plain = OnnxModel(paths.fp32, threads=1, pad_id=spec.encoder.pad_id)
    peer = OnnxModel(paths.int8, threads=1, pad_id=spec.encoder.pad_id)
    for output, wanted in given.wanted.items():
        # One sequence at a time: padding would widen the ranges that the peer quantises with.
        answers = [
            np.concatenate(
                [
                    session.forward([row], given.types and [given.types[i]], output=output)
                    for i, row in enumerate(given.rows)
                ]
            )
            for session in (plain, peer)
        ]
        assert relative_error(answers[0], wanted) < FP32_BAR, "the peer's model is another one"
        peer_error = relative_error(answers[1], wanted)
        found = engine.forward(given.batch, output)  # type: ignore[arg-type]
        own_error = relative_error(found, wanted)
        print(f"{architecture} {task} {output}: own {own_error:.4f}, peer {peer_error:.4f}")
        assert 1e-3 < own_error < INT8_BAR * peer_error, output

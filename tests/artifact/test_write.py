"""The writer refuses what the reader would refuse, before it touches the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError
from limbeck.spec import ModelSpec
from limbeck.tensors import Tensor

Weights = dict[str, Tensor]


def refused(directory: Path, message: str, **options: Any) -> None:
    spec = samples.spec()
    given: dict[str, Any] = {
        "spec": spec,
        "weights": samples.weights(spec),
        "tokenizer_json": samples.TOKENIZER,
        "lineage": {},
    }
    with pytest.raises(ArtifactError, match=message):
        artifact.write(directory / "a", **(given | options))
    assert not list(directory.iterdir())


def with_values(name: str, position: tuple[int, ...], value: float) -> Callable[[Weights], None]:
    def change(weights: Weights) -> None:
        values = weights[name].values.copy()
        values[position] = value
        weights[name] = replace(weights[name], values=values)

    return change


def with_scale(value: float) -> Callable[[Weights], None]:
    def change(weights: Weights) -> None:
        tensor = weights[samples.DENSE]
        assert tensor.scale is not None
        scale = tensor.scale.copy()
        scale[3] = value
        weights[samples.DENSE] = replace(tensor, scale=scale)

    return change


def put(name: str, **parts: Any) -> Callable[[Weights], None]:
    def change(weights: Weights) -> None:
        weights[name] = replace(weights[name], **parts)

    return change


BIAS = "layers.0.ffn.in.bias"
VECTOR = np.zeros(24, dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(BIAS), "in.bias is missing"),
        (lambda w: w.update(spare=w[BIAS]), "not part of this model: 'spare'"),
        (lambda w: w.update({"../x": w[BIAS]}), "not part of this model"),
        (put(BIAS, shape=(25,)), r"shape \[25\]"),
        (put(BIAS, values=VECTOR[:23]), r"must be F32 \[24\]"),
        (put(BIAS, values=VECTOR.astype(np.float64)), "float32 or int8"),
        (put(BIAS, values=VECTOR.astype(">f4")), "float32 or int8"),
        (put(BIAS, values=VECTOR.astype(np.int8), scale=VECTOR + 1), "must be F32"),
        (put(BIAS, scale=VECTOR + 1), "has a scale"),
        (put(samples.DENSE, scale=None), "lacks its part"),
        (put(samples.DENSE, scale=VECTOR[:3] + 1), "scale is F32"),
        (put(samples.DENSE, scale=VECTOR.astype(np.float64) + 1), "scale is float64"),
        (put(samples.DENSE, values=np.zeros((24, 8), np.float32), scale=None), "must be I8"),
        (put(samples.DENSE, block=(4, 4)), "keeps 24 blocks of 12"),
        (put(samples.DENSE, block=(1, 8)), "lacks its part"),
        (put("embeddings.word", block=(1, 4)), "stored as blocks"),
        (put(samples.SPARSE, block=(5, 4)), "does not divide"),
        (put(samples.SPARSE, block=None), "has a bitmap"),
        (put(samples.SPARSE, bitmap=None), "lacks its part"),
        (put(samples.SPARSE, bitmap=np.array([255, 15], np.uint8)), "marks 12 blocks"),
        (put(samples.SPARSE, bitmap=np.array([0, 240], np.uint8)), "marks 0 blocks"),
        (put(samples.SPARSE, bitmap=np.array([0], np.uint8)), "must be U8"),
        (with_values(BIAS, (7,), np.nan), "nan at element 7"),
        (with_values("head.classifier.weight", (1, 2), np.inf), "inf at element 10"),
        (with_values("embeddings.position", (0, 0), -np.inf), "-inf at element 0"),
        (with_values(samples.DENSE, (0, 0), -128), "-128"),
        (with_values(samples.SPARSE, (0, 0), -128), "-128"),
        *[(with_scale(bad), "in row 3") for bad in (0.0, -0.5, np.nan, np.inf, -np.inf, 3e38)],
    ],
)
def test_refuses_unsound_weights(
    tmp_path: Path, change: Callable[[Weights], None], message: str
) -> None:
    weights = samples.weights(samples.spec())
    change(weights)
    refused(tmp_path, message, weights=weights)


def test_bits_behind_the_last_block(tmp_path: Path) -> None:
    weights = samples.weights(samples.spec())
    bitmap = weights[samples.SPARSE].bitmap
    assert bitmap is not None
    weights[samples.SPARSE] = replace(
        weights[samples.SPARSE], bitmap=bitmap | np.array([0, 128], np.uint8)
    )
    refused(tmp_path, "behind the last", weights=weights)


@pytest.mark.parametrize(
    "tokenizer", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, "{}", None], ids=str
)
def test_refuses_what_is_no_tokenizer(tmp_path: Path, tokenizer: object) -> None:
    refused(tmp_path, "tokenizer", tokenizer_json=tokenizer)


def deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("lineage", "message"),
    [
        ([], "JSON object"),
        ({"when": object()}, r"lineage\.when is of type object"),
        ({"a": {"b": [1, {2}]}}, r"lineage\.a\.b\[1\] is of type set"),
        ({"loss": float("nan")}, r"lineage\.loss is nan"),
        ({"loss": float("-inf")}, r"lineage\.loss is -inf"),
        ({1: "x"}, "keys must be strings"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ({"n": 10**100}, "too large"),
        ({"n": -(10**5000)}, "too large"),
        ({"path": Path("x")}, "is of type PosixPath"),
        ({"deep": deep(80)}, "nests too deep"),
        ({"long": "x" * 17_000_000}, "shorten the lineage"),
    ],
)
def test_refuses_what_json_cannot_hold(tmp_path: Path, lineage: Any, message: str) -> None:
    refused(tmp_path, message, lineage=lineage)


def test_lineage_at_the_limits_comes_back(tmp_path: Path) -> None:
    lineage = {
        "deep": deep(61),
        "large": 10**77,
        "small": 5e-324,
        "exact": 0.1,
        "tuple": (1, 2),
        "text": "\0\u2028é\U0001f600",
        "empty": {"": []},
    }
    spec = samples.spec()
    artifact.write(
        tmp_path / "a",
        spec=spec,
        weights=samples.weights(spec),
        tokenizer_json=b"{}",
        lineage=lineage,
    )
    assert artifact.read(tmp_path / "a").lineage == lineage | {"tuple": [1, 2]}


def forced(spec: ModelSpec, part: str, name: str, value: object) -> ModelSpec:
    object.__setattr__(getattr(spec, part), name, value)
    return spec


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("encoder", "layers", 3, "layers.2.* is missing"),
        ("encoder", "layers", "2", "spec.encoder.layers must be an integer"),
        ("encoder", "hidden", 9, "does not divide"),
        ("encoder", "norm_eps", float("nan"), "must be a number, found nan"),
        ("encoder", "norm_eps", True, "must be a number"),
        ("task", "labels", ("a", 1, "c"), r"spec.task.labels\[1\] must be a string"),
        ("task", "labels", ("a", "leak", "\ud800"), "surrogate"),
        ("task", "head", None, "needs a head of its own"),
        ("task", "max_tokens", 7, "carries 6"),
        ("task", "problem", "other", "must be"),
        ("task", "normalize", 1, "true or false"),
        ("task", "task", "token-classification", "kind 'token'"),
        ("task", "task", "sentence-embedding", "pooling"),
        ("quant", "precision", "fp32", "must be F32"),
        ("quant", "precision", "int4", "must be"),
    ],
)
def test_refuses_unsound_specs(
    tmp_path: Path, part: str, name: str, value: object, message: str
) -> None:
    refused(tmp_path, message, spec=forced(samples.spec(), part, name, value))


def test_refuses_a_spec_of_another_kind(tmp_path: Path) -> None:
    refused(tmp_path, "spec must be an object", spec={"encoder": {}})

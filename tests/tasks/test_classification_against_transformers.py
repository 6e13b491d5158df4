"""Answers from random logits against transformers' own post-processing."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.spec import HeadSpec, Problem, TaskSpec
from limbeck.tasks import TOP_LABEL, text_classification, token_classification
from limbeck.text import Tokenizer
from tokenizer_files import KINDS, hard_texts, write_tokenizer

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PROBLEMS: dict[Problem | None, str | None] = {
    None: None,
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def reference(kind: type, labels: tuple[str, ...], **fields: Any) -> Any:
    """A transformers pipeline without a model: its pre- and post-processing alone."""
    pipe = object.__new__(kind)
    config = SimpleNamespace(
        id2label=dict(enumerate(labels)),
        num_labels=len(labels),
        problem_type=fields.pop("problem_type", None),
    )
    pipe.model = SimpleNamespace(config=config)
    for name, value in fields.items():
        setattr(pipe, name, value)
    return pipe


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("function", [None, "softmax", "sigmoid", "none"])
@pytest.mark.parametrize("top_k", [TOP_LABEL, None, 1, 2])
def test_text_classification(
    problem: Problem | None, count: int, function: str | None, top_k: Any
) -> None:
    from transformers.pipelines.text_classification import (
        ClassificationFunction,
        TextClassificationPipeline,
    )

    labels = tuple(f"LABEL_{index}" for index in range(count))
    pipe = reference(TextClassificationPipeline, labels, problem_type=PROBLEMS[problem])
    task = TaskSpec(
        task="text-classification",
        max_tokens=8,
        labels=labels,
        problem=problem,
        head=HeadSpec(kind="sequence"),
    )
    logits = np.random.default_rng(7).normal(0, 4, (25, count)).astype(np.float32)
    logits[0] = 0.0
    options = {} if top_k == TOP_LABEL else {"top_k": top_k, "_legacy": False}
    if function is not None:
        options["function_to_apply"] = ClassificationFunction[function.upper()]
    wanted = [pipe.postprocess({"logits": torch.tensor(row[None])}, **options) for row in logits]
    assert text_classification(logits, task, top_k=top_k, function_to_apply=function) == wanted


@cache
def both(kind: str) -> tuple[Tokenizer, Any]:
    directory = Path(mkdtemp(prefix="limbeck-test-"))
    write_tokenizer(directory, kind, model_max_length=16)
    return (
        Tokenizer.from_directory(directory),
        transformers.AutoTokenizer.from_pretrained(str(directory)),
    )


TAG_SETS = (
    ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
    ("O", "PER", "LOC"),
    ("O", "B-A-B", "I-A-B", "S-C", "I-C"),
)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@settings(max_examples=40, deadline=None)
@given(
    text=hard_texts,
    tags=st.sampled_from(TAG_SETS),
    stride=st.sampled_from([None, 0, 4]),
    ignored=st.sampled_from([None, [], ["PER"], ["O", "B-LOC"]]),
    seed=st.integers(0, 2**16),
)
def test_token_classification(
    kind: str,
    strategy: str,
    text: str,
    tags: tuple[str, ...],
    stride: int | None,
    ignored: list[str] | None,
    seed: int,
) -> None:
    from transformers.pipelines.token_classification import (
        AggregationStrategy,
        TokenClassificationPipeline,
    )

    ours, theirs = both(kind)
    if strategy == "none":
        stride = None
    pipe = reference(TokenClassificationPipeline, tags, tokenizer=theirs)
    chosen = AggregationStrategy(strategy)
    before, _, after = pipe._sanitize_parameters(
        aggregation_strategy=chosen, stride=stride, ignore_labels=ignored
    )
    random = np.random.default_rng(seed)
    outputs, logits = [], []
    for chunk in pipe.preprocess(text, **before):
        values = random.normal(0, 3, (chunk["input_ids"].shape[1], len(tags)))
        chunk["logits"] = torch.tensor(values.astype(np.float32)[None])
        outputs.append(chunk)
        length = int(chunk["attention_mask"].sum())  # without the last window's padding
        logits.append(values.astype(np.float32)[:length])
    if any(a == b for o in outputs for a, b in o["offset_mapping"][0].tolist() if a or b):
        return  # tokens without characters: transformers counts some of them twice
    wanted = pipe.postprocess(outputs, **after)
    task = TaskSpec(
        task="token-classification", max_tokens=16, labels=tags, head=HeadSpec(kind="token")
    )
    if stride is None:
        windows = ours.encode([text], max_tokens=16)
    else:
        windows = ours.windows(text, max_tokens=16, stride=stride)
    options = {} if ignored is None else {"ignore_labels": ignored}
    found = token_classification(
        logits, windows, text, task, ours, aggregation_strategy=strategy, **options
    )
    assert [list(one) for one in found] == [list(one) for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert math.isclose(one.pop("score"), float(other.pop("score")), rel_tol=2e-7)
        assert one == other
        assert all(type(value) in (str, int) for value in one.values())

"""A task metric on the real MiniLM: STS-B validation, through the pipeline."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import limbeck
from limbeck.tasks.metrics import spearman

pytestmark = pytest.mark.shared_data

Pairs = tuple[list[str], list[str], list[float]]


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> Pairs:
    with gzip.open(shared_data / "stsb" / "validation.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    return ([r["text"] for r in rows], [r["text_pair"] for r in rows], [r["label"] for r in rows])


@pytest.fixture(scope="module")
def torch_spearman(minilm: Path, pairs: Pairs) -> float:
    """Mean pooling of torch's fp32 hidden states, normalised, as sentence-transformers does."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    model = transformers.BertModel.from_pretrained(minilm).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    sides = []
    for texts in pairs[:2]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            fed = tokenizer(
                [texts[i] for i in chosen],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = model(**fed).last_hidden_state
            mask = fed["attention_mask"][:, :, None]
            vectors[chosen] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
        sides.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return spearman((sides[0] * sides[1]).sum(axis=1), pairs[2])


@pytest.mark.torch
@pytest.mark.parametrize(("precision", "bar"), [("fp32", 0.001), ("int8", 0.005)])
def test_spearman_stays(
    minilm: Path, pairs: Pairs, torch_spearman: float, precision: str, bar: float
) -> None:
    embed = limbeck.pipeline("sentence-embedding", str(minilm), precision=precision)
    first, second = (np.asarray(embed(texts)) for texts in pairs[:2])
    found = spearman((first * second).sum(axis=1), pairs[2])
    print(f"{precision}: {found:.5f}, torch {torch_spearman:.5f}")
    assert torch_spearman > 0.8
    assert abs(found - torch_spearman) < bar

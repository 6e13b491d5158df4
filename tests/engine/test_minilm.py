"""The real all-MiniLM-L6-v2, whose activations are those of a trained model."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from comparing import load_transformers, relative_error, transformers_answers
from limbeck import runtimes

TEXTS = (
    "The flat is on the second floor; ring twice and take the stairs on the left.",
    "A man is playing a guitar on stage.",
    "Profits fell 12% in the third quarter, the company said on Tuesday.",
    "why does my sourdough collapse when I score it??",
    "She had never before seen the sea, and it frightened her a little.",
    "def relative_error(found, wanted): return norm(found - wanted) / norm(wanted)",
    "Ottawa is the capital of Canada.",
    "no",
    "Three children sat on the wall, eating cherries and spitting the stones into the river below.",
    "Der Zug nach Wien fährt heute von Gleis 7 ab.",
    "The committee rejected the proposal, citing costs, delays and a lack of public support; a new "
    "vote is planned for the spring, after the municipal elections have taken place.",
    "Two dogs run through the snow.",
    "Mix the flour with a pinch of salt, add the butter in small pieces and chill for an hour.",
    "It rained for nine days, and on the tenth the dam above the village began to leak.",
)


@pytest.fixture(scope="module")
def engines(minilm: Path) -> tuple[runtimes.Model, runtimes.Model]:
    return runtimes.load(minilm), runtimes.load(minilm, precision="int8")


def token_cosines(engines: tuple[runtimes.Model, runtimes.Model], texts: list[str]) -> np.ndarray:
    """Cosine between the int8 and the fp32 vector of every token."""
    encoded = engines[0].tokenizer().encode(texts, max_tokens=256)
    rows = [e.ids for e in encoded]
    fp32, int8 = (model.forward(rows, output="hidden") for model in engines)
    norms = np.linalg.norm(fp32, axis=1) * np.linalg.norm(int8, axis=1)
    return (fp32 * int8).sum(axis=1) / norms


def check(cosines: np.ndarray) -> None:
    mean, low = float(cosines.mean()), float(np.percentile(cosines, 1))
    print(f"{len(cosines)} tokens: mean {mean:.5f}, 1st percentile {low:.5f}")
    assert mean >= 0.998
    assert low >= 0.997
    assert mean < 0.99999, "int8 did not run"


def test_int8_tokens_stay_close(engines: tuple[runtimes.Model, runtimes.Model]) -> None:
    check(token_cosines(engines, list(TEXTS)))


@pytest.mark.shared_data
def test_int8_tokens_stay_close_on_real_text(
    engines: tuple[runtimes.Model, runtimes.Model], shared_data: Path
) -> None:
    with gzip.open(shared_data / "stsb" / "validation.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["text"] for line in file][:400]
    check(token_cosines(engines, texts))


@pytest.mark.torch
def test_fp32_equals_torch(engines: tuple[runtimes.Model, runtimes.Model], minilm: Path) -> None:
    pytest.importorskip("torch")
    rows = [e.ids for e in engines[0].tokenizer().encode(list(TEXTS), max_tokens=256)]
    wanted = transformers_answers(load_transformers(minilm), rows)["hidden"]
    assert relative_error(engines[0].forward(rows, output="hidden"), wanted) < 1e-4

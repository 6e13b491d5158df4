"""The last layer for the first token alone: the same answers and gradients as the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from limbeck.forge import training  # noqa: E402
from limbeck.forge.first_token import first_token_alone  # noqa: E402

pytestmark = pytest.mark.torch


def loaded(directory: Path, kind: str = "SequenceClassification", **options: Any) -> Any:
    auto = getattr(transformers, f"AutoModelFor{kind}")
    options = {"attn_implementation": "eager", **options}
    return auto.from_pretrained(directory, dtype=torch.float32, **options).eval()


def a_batch(model: Any) -> dict[str, Any]:
    """Three rows of unequal length, padded."""
    draw = np.random.default_rng(0)
    ids = torch.tensor(draw.integers(10, 100, (3, 9)))
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] + [0] * 8])
    ids[mask == 0] = model.config.pad_token_id
    return {"input_ids": ids, "attention_mask": mask}


def answers_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    model.zero_grad()
    logits = training.forward(model, batch, "fp32")
    training.backward((logits * torch.arange(1, logits.shape[1] + 1)).square().sum())
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return logits.detach(), gradients


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_answers_and_gradients_are_those_of_the_whole_layer(
    zoo: Callable[..., Path], architecture: str
) -> None:
    model = loaded(zoo(architecture, "text-classification"))
    batch = a_batch(model)
    wanted, wanted_gradients = answers_and_gradients(model, batch)
    with first_token_alone(model):
        found, gradients = answers_and_gradients(model, batch)
        inside = model.base_model(**batch).last_hidden_state
    assert inside.shape[1] == 1
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert set(gradients) == set(wanted_gradients)
    # a key's bias adds the same to all scores of a query: its gradient is rounding alone
    for name in (name for name in gradients if not name.endswith(("key.bias", "k_lin.bias"))):
        error = (gradients[name] - wanted_gradients[name]).norm()
        assert error <= 1e-4 * wanted_gradients[name].norm(), name
    after, _ = answers_and_gradients(model, batch)
    torch.testing.assert_close(after, wanted, rtol=0, atol=0)
    assert model.base_model(**batch).last_hidden_state.shape[1] == 9


def test_other_heads_and_other_attention_stay_as_they_are(zoo: Callable[..., Path]) -> None:
    model = loaded(zoo("bert", "token-classification"), "TokenClassification")
    with first_token_alone(model):
        assert model(**a_batch(model)).logits.shape[1] == 9
    fused = loaded(zoo("bert", "text-classification"), attn_implementation="sdpa")
    with first_token_alone(fused):
        assert fused.base_model(**a_batch(fused)).last_hidden_state.shape[1] == 9


def test_dropout_falls_on_attention_too(zoo: Callable[..., Path]) -> None:
    model = loaded(zoo("bert", "text-classification"), attention_probs_dropout_prob=0.5)
    batch = a_batch(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and module is not (
            model.base_model.encoder.layer[-1].attention.self.dropout
        ):
            module.p = 0.0
    model.train()
    with first_token_alone(model), training.seeded(0):
        one, other = (training.forward(model, batch, "fp32") for _ in range(2))
    assert not torch.equal(one, other)

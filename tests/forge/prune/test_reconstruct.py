"""Pruning at one stroke: worth and fit against least squares, and what a model keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.errors import TrainingError  # noqa: E402
from limbeck.forge import checkpoint, training  # noqa: E402
from limbeck.forge.examples import training_set  # noqa: E402
from limbeck.forge.objectives import objective  # noqa: E402
from limbeck.forge.prune import PruneConfig, layers  # noqa: E402
from limbeck.forge.prune.pruner import Pruner  # noqa: E402
from limbeck.forge.prune.reconstruct import (  # noqa: E402
    hessians,
    inner_of,
    reconstruct,
    refit,
    schedule,
    worth,
)

pytestmark = pytest.mark.torch

PATTERNS = ["1x4", "2x4", "4x4", "4x1"]


def draw(rows: int, cols: int, tokens: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Weights [F, K], inputs [K, T] that depend on one another, and H, all f64."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(cols, cols)) @ rng.normal(size=(cols, tokens))
    weight = torch.tensor(rng.normal(size=(rows, cols)))
    return weight, inputs, torch.tensor(inputs @ inputs.T)


def least(row: Any, inputs: Any, kept: Any) -> tuple[Any, float]:
    """The row on these columns alone that comes nearest to row @ inputs, and the squared error."""
    found = np.zeros_like(row)
    wanted = row @ inputs
    if kept.any():
        found[kept] = np.linalg.lstsq(inputs[kept].T, wanted, rcond=None)[0]
    return found, float(np.square(wanted - found @ inputs).sum())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_block_is_worth_what_the_others_cannot_make_up_for(pattern: Any) -> None:
    rows, cols = layers.sides(pattern)
    weight, inputs, hessian = draw(8, 12, 40)
    found = worth(weight, inner_of(hessian, cols), pattern)
    assert found.shape == (8 // rows, 12 // cols)
    for group in range(found.shape[0]):
        for block in range(found.shape[1]):
            kept = np.ones(12, dtype=bool)
            kept[block * cols : (block + 1) * cols] = False
            lost = sum(
                least(weight[row].numpy(), inputs, kept)[1]
                for row in range(group * rows, (group + 1) * rows)
            )
            assert found[group, block].item() == pytest.approx(lost, rel=1e-7)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rows_are_fitted_anew_by_least_squares(pattern: Any) -> None:
    rows, cols = layers.sides(pattern)
    weight, inputs, hessian = draw(8, 12, 40, seed=1)
    kept = torch.rand(8 // rows, 12 // cols, generator=torch.Generator().manual_seed(0)) < 0.5
    kept[0], kept[1] = True, False
    found = refit(weight, kept, hessian, pattern)
    columns = layers.spread(kept, pattern).numpy()
    for row in range(8):
        wanted, _ = least(weight[row].numpy(), inputs, columns[row])
        np.testing.assert_allclose(found[row].numpy(), wanted, rtol=1e-7, atol=1e-9)
    assert torch.equal(found[:rows], weight[:rows])
    assert not found[rows : 2 * rows].any()


def test_rounds_take_less_and_less() -> None:
    steps = [10, *schedule(10, 100, 4)]
    assert steps[-1] == 100
    taken = np.diff(steps)
    assert (taken > 0).all()
    assert (np.diff(taken) <= 0).all()
    assert schedule(0, 7, 1) == [7]


def tokens_of(directory: Path, count: int = 64) -> tuple[Any, Any]:
    made = checkpoint.load(directory)
    rng = np.random.default_rng(0)
    words = ["good", "bad", "old", "new", "house", "room"]
    rows = training_set(
        [(" ".join(rng.choice(words, rng.integers(2, 9))), None, "no") for _ in range(count)],
        ("no", "yes"),
    )
    return made.model, objective(rows, made.tokenizer, made.max_tokens).tokens


@pytest.fixture(params=["bert", "distilbert", "roberta"])
def found(request: Any, zoo: Callable[..., Path]) -> tuple[Any, Any]:
    shape = models.Shape(layers=2, hidden=32, heads=4, ffn=64)
    return tokens_of(zoo(request.param, "text-classification", shape=shape))


def test_inputs_are_those_of_real_tokens_and_of_the_first_one_at_the_end(found: Any) -> None:
    model, tokens = found
    model.config._attn_implementation = "eager"
    got = hessians(model, tokens, samples=10, batch_size=4)
    order = np.random.default_rng(0).permutation(len(tokens))[:10]
    inner = layers.encoder_layers(model)
    outputs: dict[tuple[int, str], list[Any]] = {}

    def noted(key: Any) -> Any:
        return lambda module, inputs: outputs.setdefault(key, []).append(inputs[0])

    hooks = [
        layers.part(layer, name).register_forward_pre_hook(noted((number, name)))
        for number, layer in enumerate(inner)
        for name in layers.NAMES
    ]
    model.eval()
    for index in order:  # one by one: no padding
        batch = training.collate(model, tokens, [index])
        length = int(batch["attention_mask"].sum())
        batch = {name: value[:, :length] for name, value in batch.items()}
        with torch.no_grad():
            training.forward(model, batch, "fp32")
    for hook in hooks:
        hook.remove()
    names = [(number, name) for number in range(len(inner)) for name in layers.NAMES]
    for (number, name), own in zip(names, got, strict=True):
        first = number == len(inner) - 1 and name not in ("attention.key", "attention.value")
        rows = torch.cat([one[0, :1] if first else one[0] for one in outputs[number, name]])
        wanted = rows.T @ rows / len(rows)
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5, msg=f"{number} {name}")


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_outputs_move_less_than_by_magnitude(found: Any, allocation: Any) -> None:
    model, tokens = found
    batch = training.collate(model, tokens, range(64))
    model.eval()

    def hidden() -> Any:
        with torch.no_grad():
            said = model.base_model(**batch).last_hidden_state
        return said[batch["attention_mask"].bool()]

    def prune(sparsity: float) -> None:
        config = PruneConfig(criterion="reconstruction", allocation=allocation, sparsity=sparsity)
        allocate = Pruner(model, config).allocate
        reconstruct(model, tokens, "4x4", sparsity, allocate, samples=64, batch_size=16)

    before, weights = hidden(), {k: v.clone() for k, v in model.state_dict().items()}
    prune(0.5)
    moved = float((hidden() - before).square().sum())
    gone = [layers.gone(one.weight, "4x4") for one in layers.prunable(model, "4x4")]
    assert sum(int(one.sum()) for one in gone) == round(0.5 * sum(one.numel() for one in gone))
    if allocation == "uniform":
        assert all(abs(float(one.float().mean()) - 0.5) < 0.02 for one in gone)
    # more goes, and what was gone stays so
    holes = [layer.weight == 0 for layer in layers.prunable(model, "4x4")]
    prune(0.75)
    for layer, hole in zip(layers.prunable(model, "4x4"), holes, strict=True):
        assert not layer.weight[hole].any()
    assert sum(
        int(layers.gone(one.weight, "4x4").sum()) for one in layers.prunable(model, "4x4")
    ) == round(0.75 * sum(one.numel() for one in gone))
    # the same share by size alone, nothing fitted
    model.load_state_dict(weights)
    for layer in layers.prunable(model, "4x4"):
        scores = layers.block_sums(layer.weight.detach().square(), "4x4")
        low = scores <= scores.flatten().kthvalue(scores.numel() // 2).values
        with torch.no_grad():
            layer.weight.masked_fill_(layers.spread(low, "4x4"), 0.0)
    assert moved < 0.7 * float((hidden() - before).square().sum())


def test_inputs_that_are_not_finite_are_named(found: Any) -> None:
    model, tokens = found
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.LayerNorm))
    with torch.no_grad():
        norm.bias[0] = torch.inf
    config = PruneConfig(criterion="reconstruction", sparsity=0.5)
    with pytest.raises(TrainingError, match=r"inputs of layers\.0\.attention\.query"):
        reconstruct(
            model, tokens, "4x4", 0.5, Pruner(model, config).allocate, samples=8, batch_size=4
        )

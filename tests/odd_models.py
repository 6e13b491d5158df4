"""Random models of any size, straight as specs and tensors: no files, no torch.

Weights as in tests/models.py: biases, gains and uneven rows make every part count.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from limbeck import artifact
from limbeck.spec import EncoderSpec, HeadSpec, ModelSpec, TaskSpec
from limbeck.tensors import Tensor, expected_tensors

# One token, and around the width of a panel and of two.
LENGTHS = (1, 2, 15, 16, 17, 31, 32, 33)


@st.composite
def specs(draw: st.DrawFn, step: int = 1) -> ModelSpec:
    """Models that take sequences of 33 tokens. Hidden and feed-forward sizes are multiples of
    `step`, and of nothing else on purpose."""
    hidden = step * draw(st.integers(1, 33 // step))
    heads = draw(st.sampled_from([n for n in (1, 2, 3, 4) if hidden % n == 0]))
    vocab = draw(st.sampled_from((1, 2, 7, 40)))
    after_padding = draw(st.booleans())
    pad_id = draw(st.integers(0, vocab - 1)) if after_padding else 0
    encoder = EncoderSpec(
        architecture="bert",
        layers=draw(st.integers(1, 2)),
        hidden=hidden,
        heads=heads,
        ffn=step * draw(st.integers(1, 67 // step)),
        vocab=vocab,
        positions=max(LENGTHS) + pad_id + 1,
        types=draw(st.integers(0, 2)),
        activation=draw(st.sampled_from(("gelu", "gelu_tanh", "relu"))),
        # Two features or three may nearly agree; a small epsilon would blow up what rounding leaves
        # of their difference, and the comparison would be one of noise.
        norm_eps=1e-12 if hidden >= 16 else 1e-2,
        position_mode="after_padding" if after_padding else "absolute",
        pad_id=pad_id,
    )
    kind = draw(st.sampled_from(("sequence", "token", None)))
    dense = draw(st.sampled_from(("tanh", "relu", None)))
    head = None if kind is None else HeadSpec(kind=kind, dense=dense)
    labels = () if head is None else tuple(f"label {i}" for i in range(draw(st.integers(1, 17))))
    return ModelSpec(
        encoder=encoder,
        task=TaskSpec(
            task="feature-extraction", max_tokens=encoder.max_tokens, labels=labels, head=head
        ),
    )


def weights(spec: ModelSpec, seed: int) -> dict[str, Tensor]:
    """float32 tensors for a spec."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape, row in expected_tensors(spec.encoder, spec.task.head, len(spec.task.labels)):
        if name.endswith(".gain"):
            values = rng.uniform(0.5, 1.5, shape)
        elif name.endswith(".bias"):
            values = rng.standard_normal(shape) * 0.1
        else:
            # 0.83 is what tests/models.py has: 0.03 in a 768-wide encoder.
            std = 0.5 if row.kind == "embedding" else 0.83 / np.sqrt(shape[1])
            values = rng.standard_normal(shape) * std * np.exp(rng.uniform(-1, 1, (shape[0], 1)))
        made[name] = Tensor(shape=shape, values=values.astype(np.float32))
    return made


def in_blocks(
    weights: dict[str, Tensor], block: tuple[int, int], density: float, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights with blocks zeroed wherever `block` divides a layer, twice: stored dense, and
    stored in blocks."""
    rng = np.random.default_rng(seed)
    dense, encoded = dict(weights), dict(weights)
    for name, tensor in weights.items():
        if not name.startswith("layers.") or not name.endswith(".weight"):
            continue
        grid = tensor.shape[0] // block[0], tensor.shape[1] // block[1]
        if (grid[0] * block[0], grid[1] * block[1]) != tensor.shape:
            continue
        mask = np.kron(rng.random(grid) < density, np.ones(block, np.float32))
        values = (tensor.values * mask).astype(np.float32)
        dense[name] = Tensor(shape=tensor.shape, values=values)
        encoded[name] = artifact.encode_blocks(dense[name], block)
    return dense, encoded


def rows(spec: ModelSpec, lengths: list[int], seed: int) -> list[list[int]]:
    """Token ids over the whole vocabulary, pad tokens among them."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, spec.encoder.vocab, n).tolist() for n in lengths]


def type_ids(spec: ModelSpec, ids: list[list[int]], seed: int) -> list[list[int]] | None:
    """None where the model has no token types."""
    if spec.encoder.types == 0:
        return None
    rng = np.random.default_rng(seed)
    return [rng.integers(0, spec.encoder.types, len(row)).tolist() for row in ids]

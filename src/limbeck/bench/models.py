"""Test models with teeth: random weights under which every part of the model matters.

With a library's default random weights a model that skips attention or biases stays close to the
right answer, and an error comparison proves nothing. Here biases and gains are large, and the rows
of each matrix are uneven, as in trained models, so that a scale per row has work to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError

F32 = npt.NDArray[np.float32]

LINEAR_STD = 0.03  # at C = 768; scaled by sqrt(768 / C) so that small models have as much effect
BIAS_STD = 0.1
GAIN_RANGE = (0.5, 1.5)
ROW_RANGE = (0.5, 2.0)  # each row of a matrix is scaled by a factor from here
# A row of blocks keeps up to this much more or less than its share, as pruned models do.
UNEVEN_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Which blocks of output rows x inputs the encoder's matrices are made of, and how many fail.

    Raises:
        InputError: a share outside 0 .. 1, or blocks without rows or inputs.
    """

    rows: int
    cols: int
    sparsity: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1 or self.rows < 1 or self.cols < 1:
            raise InputError(f"not a block pattern: {self}")

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A DistilBERT: letters as in limbeck.spec."""

    layers: int = 6
    hidden: int = 768
    heads: int = 12
    ffn: int = 3072
    vocab: int = 30522
    positions: int = 512
    labels: int = 4
    blocks: Blocks | None = None

    @property
    def name(self) -> str:
        """Of the shape alone: sparse or not."""
        return f"distilbert-{self.layers}x{self.hidden}"

    @property
    def linear_operations(self) -> int:
        """Multiplications and additions of its dense linear layers, for one token."""
        return 2 * self.layers * (4 * self.hidden * self.hidden + 2 * self.hidden * self.ffn)

    @property
    def pattern(self) -> str:
        """ "dense", or as in "4x4"."""
        return "dense" if self.blocks is None else str(self.blocks)


def prune(weight: F32, blocks: Blocks, seed: int) -> F32:
    """[F, K] with `blocks.sparsity` of its blocks zero, chosen at random, rows uneven.

    What is kept grows by 1 / sqrt(density), so that the layer's answers keep their size.

    Raises:
        InputError: the blocks do not divide the matrix.
    """
    rows, cols = weight.shape
    if rows % blocks.rows or cols % blocks.cols:
        raise InputError(f"a matrix {rows}x{cols} does not divide into blocks of {blocks}")
    grid = (rows // blocks.rows, cols // blocks.cols)
    draw = np.random.default_rng([seed, rows, cols])
    score = draw.uniform(size=grid) + draw.uniform(-UNEVEN_SHARE, UNEVEN_SHARE, size=(grid[0], 1))
    kept = max(1, round(score.size * (1 - blocks.sparsity)))
    mask = score >= np.partition(score.ravel(), -kept)[-kept]
    whole = mask.repeat(blocks.rows, axis=0).repeat(blocks.cols, axis=1)
    return np.where(whole, weight * np.float32((score.size / kept) ** 0.5), np.float32(0))


def _tensors(shape: Shape, seed: int) -> Iterator[tuple[str, F32]]:
    draw = np.random.default_rng(seed)
    c = shape.hidden

    def normal(std: float, *size: int) -> F32:
        return (draw.standard_normal(size, dtype=np.float32) * np.float32(std)).astype(np.float32)

    def linear(name: str, rows: int, columns: int) -> Iterator[tuple[str, F32]]:
        std = LINEAR_STD * (768 / columns) ** 0.5 if columns != shape.ffn else LINEAR_STD / 2
        uneven = draw.uniform(*ROW_RANGE, size=(rows, 1)).astype(np.float32)
        yield f"{name}.weight", normal(std, rows, columns) * uneven
        yield f"{name}.bias", normal(BIAS_STD, rows)

    def norm(name: str) -> Iterator[tuple[str, F32]]:
        yield f"{name}.weight", draw.uniform(*GAIN_RANGE, size=c).astype(np.float32)
        yield f"{name}.bias", normal(BIAS_STD, c)

    base = "distilbert.embeddings"
    yield f"{base}.word_embeddings.weight", normal(0.05, shape.vocab, c)
    yield f"{base}.position_embeddings.weight", normal(0.03, shape.positions, c)
    yield from norm(f"{base}.LayerNorm")
    for layer in range(shape.layers):
        block = f"distilbert.transformer.layer.{layer}"
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            yield from linear(f"{block}.attention.{part}", c, c)
        yield from norm(f"{block}.sa_layer_norm")
        yield from linear(f"{block}.ffn.lin1", shape.ffn, c)
        yield from linear(f"{block}.ffn.lin2", c, shape.ffn)
        yield from norm(f"{block}.output_layer_norm")
    yield from linear("pre_classifier", c, c)
    yield from linear("classifier", shape.labels, c)


def _pruned(shape: Shape, seed: int) -> Iterator[tuple[str, F32]]:
    """The dense model's tensors, the encoder's matrices pruned where the shape asks for it."""
    for number, (name, values) in enumerate(_tensors(shape, seed)):
        linear = ".transformer." in name and values.ndim == 2
        if shape.blocks is not None and linear:
            values = prune(values, shape.blocks, seed * 1000 + number)
        yield name, values


def _config(shape: Shape) -> dict[str, Any]:
    sparse = {} if shape.blocks is None else {"limbeck_blocks": asdict(shape.blocks)}
    return sparse | {
        "architectures": ["DistilBertForSequenceClassification"],
        "model_type": "distilbert",
        "n_layers": shape.layers,
        "dim": shape.hidden,
        "n_heads": shape.heads,
        "hidden_dim": shape.ffn,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.positions,
        "activation": "gelu",
        "pad_token_id": 0,
        "id2label": {str(i): f"label {i}" for i in range(shape.labels)},
        "label2id": {f"label {i}": i for i in range(shape.labels)},
        "dtype": "float32",
    }


def _tokenizer(shape: Shape) -> str:
    """A WordPiece vocabulary of `shape.vocab` entries: letters, their continuations, made-up words.

    The text of a tokenizer.json.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    entries += [f"##{letter}" for letter in letters]
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = (x + y + z for x in syllables for y in syllables for z in syllables)
    entries += [word for word, _ in zip(words, range(shape.vocab - len(entries)), strict=False)]
    vocabulary = {entry: number for number, entry in enumerate(entries[: shape.vocab])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    text: str = tokenizer.to_str()
    return text


def write_model(directory: Path, shape: Shape, *, seed: int = 0) -> Path:
    """Write a Hugging Face directory (config, safetensors, tokenizer); keep one that is complete.

    The configuration is written last and marks the directory as complete.
    """
    from safetensors.numpy import save_file

    config = json.dumps({**_config(shape), "limbeck_seed": seed}, indent=1)
    marker = directory / "config.json"
    if marker.exists() and marker.read_text(encoding="utf-8") == config:
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    save_file(
        dict(_pruned(shape, seed)), directory / "model.safetensors", metadata={"format": "pt"}
    )
    (directory / "tokenizer.json").write_text(_tokenizer(shape), encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": shape.positions, "tokenizer_class": "DistilBertTokenizer"}),
        encoding="utf-8",
    )
    marker.write_text(config, encoding="utf-8")
    return directory


def token_ids(sequences: int, tokens: int, *, vocab: int, seed: int = 0) -> list[list[int]]:
    """Random token ids, the same for the same arguments: `sequences` rows of `tokens` ids."""
    draw = np.random.default_rng([seed, sequences, tokens])
    rows: list[list[int]] = draw.integers(5, vocab, size=(sequences, tokens)).tolist()
    for row in rows:
        row[0], row[-1] = 2, 3
    return rows

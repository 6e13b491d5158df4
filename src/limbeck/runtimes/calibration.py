"""Static ranges of a stored model's activations, from texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from limbeck import engine
from limbeck.batch import PackedBatch, pack
from limbeck.runtimes.source import Source
from limbeck.tensors import Tensor

# The oracle, which measures them, keeps whole layers of floats: a few texts at a time.
_TEXTS = 8


def static_ranges(
    source: Source, texts: Iterable[str], max_tokens: int, how: str = "minmax"
) -> dict[str, Tensor]:
    """`limbeck.engine.static_ranges` of the texts, cut at so many tokens.

    Args:
        how: one of `limbeck.engine.OBSERVERS`.

    Raises:
        InputError: no texts, no such observer, or a layer whose inputs are all zero.
    """
    batches = packed_texts(source, texts, max_tokens)
    return engine.static_ranges(source.spec.encoder, source.weights, batches, how)


def packed_texts(source: Source, texts: Iterable[str], max_tokens: int) -> Iterator[PackedBatch]:
    """The texts as the model reads them, a few at a time."""
    tokenizer = source.tokenizer()
    left = iter(texts)
    while some := list(islice(left, _TEXTS)):
        rows = tokenizer.encode(some, max_tokens=max_tokens)
        yield pack([row.ids for row in rows], [row.type_ids for row in rows])

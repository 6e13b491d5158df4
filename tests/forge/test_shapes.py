"""Shapes of students: parameters as transformers counts them, limits, and that they run."""

from __future__ import annotations

import pytest

from limbeck.errors import InputError
from limbeck.forge import shapes

# Published counts, in millions, of the encoders with their pooler.
PUBLISHED = {
    "TinyBERT-4": 14.4,
    "TinyBERT-6": 67.0,
    "MiniLM-6": 22.7,
    "MiniLM-12": 33.4,
    "DistilBERT": 67.0,
    "RoBERTa-small": 82.1,
    "ALBERT-base": 11.7,
}


def test_parameters_are_the_published_ones():
    found = {shape.name: shape.parameters / 1e6 for shape in shapes.PUBLISHED}
    assert found.keys() == PUBLISHED.keys()
    for name, wanted in PUBLISHED.items():
        assert found[name] == pytest.approx(wanted, rel=0.015), name


@pytest.mark.torch
@pytest.mark.parametrize("name", ["TinyBERT-4", "DistilBERT", "RoBERTa-small", "ALBERT-base"])
def test_parameters_are_those_of_transformers(name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    shape = next(one for one in shapes.PUBLISHED if one.name == name)
    common = {"vocab_size": shape.vocab, "max_position_embeddings": shape.positions}
    wide = {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "type_vocab_size": shape.types,
    }
    config = {
        "TinyBERT-4": transformers.BertConfig(**common, **wide),
        "RoBERTa-small": transformers.RobertaConfig(**common, **wide),
        "ALBERT-base": transformers.AlbertConfig(**common, **wide, embedding_size=128),
        "DistilBERT": transformers.DistilBertConfig(
            **common, dim=shape.hidden, n_layers=shape.layers, hidden_dim=shape.ffn
        ),
    }[name]
    config.num_labels = 2
    with torch.device("meta"):
        model = transformers.AutoModelForSequenceClassification.from_config(config)
    assert shape.parameters == sum(p.numel() for p in model.parameters())


def test_the_grid_has_no_shape_twice():
    every = [*shapes.PUBLISHED, *shapes.grid()]
    assert len({shape.name for shape in every}) == len(every) > 20
    for shape in shapes.grid():
        assert shape.hidden % shape.heads == 0


def test_shapes_are_timed_and_held_against_limits():
    small = [shapes.StudentShape(name=f"{n}x32", layers=n, hidden=32, heads=2, ffn=64, vocab=99)
             for n in (1, 40)]  # fmt: skip
    seen = []
    load = shapes.Load(tokens=16, threads=1)
    one, other = shapes.measure(small, load, rounds=2, each=lambda: seen.append(1))
    assert len(seen) == 2
    assert min(one.p50_ms, other.p50_ms) > 0
    assert one.p50_ms <= one.p95_ms
    assert one.fits(None, None)
    assert one.fits(1e6, 1e6)
    assert not one.fits(0.0, None)
    assert not one.fits(None, one.shape.int8_bytes / 2e6)
    roberta = next(shape for shape in shapes.PUBLISHED if shape.architecture == "roberta")
    assert next(shapes.measure([roberta], load, rounds=1, each=list)).p50_ms > 0


@pytest.mark.parametrize("fields", [{"tokens": 0}, {"tokens": 513}, {"batch": 0}])
def test_loads_that_make_no_sense(fields):
    with pytest.raises(InputError, match="at least one text"):
        shapes.Load(**fields)

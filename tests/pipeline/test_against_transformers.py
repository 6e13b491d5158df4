"""Whole pipelines against transformers' and sentence-transformers', on small models with teeth."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import models
from limbeck.pipeline import pipeline
from tokenizer_files import write_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:Tokenizer does not support real words"),
]

# Each architecture with a tokenizer of the kind that it is published with.
TOKENIZERS = {
    "bert": "wordpiece",
    "distilbert": "wordpiece",
    "roberta": "byte_level",
    "camembert": "unigram",
    "xlm-roberta": "unigram",
}
MAX_TOKENS = 40
TEXTS = [
    "The quiet flat is five minutes from the old harbour.",
    "",
    "Call 555-0100 or write to someone@example.com!",
    "naïve Über-Brücke: e\u0301, ﬁne Ⅻ 北京的秋天 😀👩‍👩‍👧 🇩🇪",
    "שלום עולם, مرحبا بالعالم \u202eabc",
    "a\0b \x07 \u00a0 \u2028 \t\n x",
    "[SEP] is </s> or <mask> or [UNK] ☃☃",
    "Don't ring the bell after ten; we'll leave the key. " * 12,
    "x" * 300,
]
PAIRS = [
    {"text": "The flat is quiet.", "text_pair": "Is the flat quiet?"},
    {"text": "The flat. " * 30, "text_pair": "Is it?"},
    {"text": "The flat.", "text_pair": "Is the harbour near? " * 30},
    {"text": "The flat is quiet. " * 30, "text_pair": "Is the harbour near? " * 31},
    {"text": "", "text_pair": "Is it?"},
]
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make(architecture, task, ...) -> a directory with the architecture's kind of tokenizer."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def get(
        architecture: str,
        task: str,
        labels: tuple[str, ...] | None = None,
        problem_type: str | None = None,
    ) -> Path:
        directory = root / str(len(list(root.iterdir()))) / architecture
        config = {} if problem_type is None else {"problem_type": problem_type}
        models.write(directory, architecture, task, labels=labels, config=config)
        write_tokenizer(directory, TOKENIZERS[architecture], model_max_length=MAX_TOKENS)
        return directory

    return get


@cache
def reference(task: str, directory: Path) -> Any:
    torch.set_num_threads(2)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers.pipeline(task, model=str(directory), device="cpu")


def same(found: Any, wanted: Any, path: str = "answer") -> None:
    """Equal shapes, keys, key order, labels, words and places; scores within 1e-4."""
    if isinstance(wanted, list):
        assert type(found) is list, path
        assert len(found) == len(wanted), path
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            same(one, other, f"{path}[{index}]")
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted), path
        for key in wanted:
            same(found[key], wanted[key], f"{path}[{key}]")
    elif isinstance(wanted, float | np.floating):
        assert type(found) is float, path
        assert found == pytest.approx(float(wanted), rel=1e-4, abs=1e-5), path
    else:
        assert (type(found), found) == (type(wanted), wanted), path


@pytest.mark.parametrize("architecture", TOKENIZERS)
def test_text_classification(make: Make, architecture: str) -> None:
    directory = make(architecture, "text-classification")
    ours = pipeline("text-classification", directory)
    theirs = reference("text-classification", directory)
    for options in ({}, {"top_k": None}, {"top_k": 1}, {"function_to_apply": "sigmoid"}):
        wanted = theirs(TEXTS, truncation=True, **options)
        same(ours(TEXTS, **options), wanted)
        same(ours(TEXTS[0], **options), theirs(TEXTS[0], truncation=True, **options))
        same(ours(PAIRS, **options), theirs(PAIRS, truncation=True, **options))
        same(ours(PAIRS[0], **options), theirs(PAIRS[0], truncation=True, **options))
    same(ours(TEXTS, max_length=7), theirs(TEXTS, truncation=True, max_length=7))
    same(ours(PAIRS, max_length=11), theirs(PAIRS, truncation=True, max_length=11))
    scores = {round(one["score"], 3) for one in ours(TEXTS)}
    assert len(scores) > 5, "the texts should not all have one answer"


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (("score",), None),
        (("score",), "regression"),
        (("a", "b"), "single_label_classification"),
        (("a", "b", "c"), "multi_label_classification"),
        (("a", "b", "c"), "regression"),
    ],
)
def test_problem_types(make: Make, labels: tuple[str, ...], problem: str | None) -> None:
    directory = make("bert", "text-classification", labels, problem)
    ours = pipeline("text-classification", directory)
    theirs = reference("text-classification", directory)
    for options in ({}, {"top_k": None}, {"function_to_apply": "softmax"}):
        same(ours(TEXTS, **options), theirs(TEXTS, truncation=True, **options))


@pytest.mark.parametrize("architecture", TOKENIZERS)
def test_token_classification(make: Make, architecture: str) -> None:
    directory = make(architecture, "token-classification")
    ours = pipeline("token-classification", directory)
    theirs = reference("token-classification", directory)
    for strategy in ("none", "simple", "first", "average", "max"):
        for options in ({}, {"ignore_labels": []}, {"ignore_labels": ["B-PER", "PER"]}):
            chosen = {"aggregation_strategy": strategy, **options}
            wanted = theirs(TEXTS, **chosen)
            same(ours(TEXTS, **chosen), wanted)
            same(ours(TEXTS[0], **chosen), wanted[0])
        if strategy != "none":
            for stride in (0, 9):
                chosen = {"aggregation_strategy": strategy, "stride": stride}
                same(ours(TEXTS, **chosen), theirs(TEXTS, **chosen))
    found = ours(TEXTS, ignore_labels=[])
    assert len({one["entity"] for answer in found for one in answer}) > 1
    assert sum(map(len, found)) > 100


@pytest.mark.parametrize("architecture", TOKENIZERS)
def test_feature_extraction(make: Make, architecture: str) -> None:
    directory = make(architecture, "feature-extraction")
    ours = pipeline("feature-extraction", directory)
    theirs = reference("feature-extraction", directory)
    found, wanted = ours(TEXTS), theirs(TEXTS, truncation=True)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.shape(one) == np.shape(other)
        assert np.linalg.norm(np.subtract(one, other)) < 1e-4 * np.linalg.norm(other)
    assert type(found[0][0][0][0]) is float
    single, batch = ours(TEXTS[0]), theirs(TEXTS[0])
    assert np.shape(single) == np.shape(batch)
    cut = {"tokenize_kwargs": {"truncation": True, "max_length": 6}}
    assert np.shape(ours(TEXTS[0], **cut)) == np.shape(theirs(TEXTS[0], **cut))


@pytest.mark.parametrize("pooling", [("mean",), ("cls",), ("max",), ("cls", "max", "mean")])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_sentence_embedding(
    tmp_path: Path, architecture: str, pooling: tuple[str, ...], normalize: bool
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    directory = tmp_path / architecture
    models.write_sentence_model(directory, architecture, pooling=pooling, normalize=normalize)
    write_tokenizer(directory, TOKENIZERS[architecture])
    settings = {"max_seq_length": MAX_TOKENS, "do_lower_case": False}
    (directory / "sentence_bert_config.json").write_text(json.dumps(settings))
    for name in ("0_Transformer", "2_Normalize"):
        (directory / name).mkdir(exist_ok=True)
    theirs = sentence_transformers.SentenceTransformer(str(directory), device="cpu")
    ours = pipeline("sentence-embedding", directory)
    found = ours(TEXTS)
    wanted: npt.NDArray[np.float32] = theirs.encode(TEXTS, show_progress_bar=False)
    assert found.dtype == wanted.dtype == np.float32
    assert found.shape == wanted.shape
    assert float(np.abs(found - wanted).max()) < 1e-4 * float(np.abs(wanted).max())
    one = theirs.encode(TEXTS[0], show_progress_bar=False)
    assert ours(TEXTS[0]).shape == one.shape
    unit = theirs.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert float(np.abs(ours(TEXTS, normalize_embeddings=True) - unit).max()) < 1e-4


def test_a_real_sentence_encoder(minilm: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    ours = pipeline("sentence-embedding", minilm)
    theirs = sentence_transformers.SentenceTransformer(str(minilm), device="cpu")
    texts = [*TEXTS, "The harbour is near the old town. " * 60]
    found, wanted = ours(texts), theirs.encode(texts, show_progress_bar=False)
    assert found.shape == wanted.shape == (len(texts), 384)
    assert float(np.abs(found - wanted).max()) < 1e-5


def test_eight_threads_get_bit_equal_answers(make: Make) -> None:
    directory = make("bert", "text-classification")
    pipe = pipeline("text-classification", directory, top_k=None, threads=2)
    wanted = pipe(TEXTS)
    alone = [pipe([text])[0] for text in TEXTS]
    assert alone == wanted
    whole = pipe(TEXTS, window=True)
    failures: list[object] = []

    def work(seed: int) -> None:
        try:
            for turn in range(4):
                order = np.random.default_rng(seed * 10 + turn).permutation(len(TEXTS))
                found = pipe([TEXTS[i] for i in order], batch_size=1 + (seed + turn) % 4)
                if found != [wanted[i] for i in order] or pipe(TEXTS, window=True) != whole:
                    failures.append((seed, turn))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

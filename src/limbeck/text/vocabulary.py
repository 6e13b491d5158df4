"""The tokenizer.json of a model directory, made from vocab.txt where the file is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.errors import ModelError

_WORDPIECE_CLASSES = ("BertTokenizer", "DistilBertTokenizer")
_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_OTHER_VOCABULARIES = ("sentencepiece.bpe.model", "spiece.model", "vocab.json", "tokenizer.model")


def read_tokenizer_json(directory: Path) -> bytes:
    """The bytes of the directory's tokenizer.json.

    Where it is missing, a WordPiece vocab.txt is enough: the tokenizer is built from it and from
    tokenizer_config.json (do_lower_case, strip_accents, tokenize_chinese_chars, special tokens), as
    transformers builds it. `truncation_side: left` of tokenizer_config.json is written into the
    answer, so that it stands alone.

    Raises:
        ModelError: there is no tokenizer, or one of a kind that must be converted first.
    """
    path = directory / "tokenizer.json"
    if path.is_file():
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from None
    elif (directory / "vocab.txt").is_file():
        data = _from_vocabulary(directory)
    else:
        others = [name for name in _OTHER_VOCABULARIES if (directory / name).is_file()]
        found = f" (found {', '.join(others)})" if others else ""
        raise ModelError(
            f'{directory} has no tokenizer.json{found}; make one with: python -c "from '
            f"transformers import AutoTokenizer; AutoTokenizer.from_pretrained('{directory}')"
            f".save_pretrained('{directory}')\""
        )
    return _with_truncation_side(directory, data)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing.

    Raises:
        ModelError: the file is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no readable JSON file: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def _with_truncation_side(directory: Path, data: bytes) -> bytes:
    if read_json(directory / "tokenizer_config.json").get("truncation_side") != "left":
        return data
    try:
        tokenizer = json.loads(data)
        cut = tokenizer["truncation"] or {
            "max_length": 512,
            "strategy": "LongestFirst",
            "stride": 0,
        }
        tokenizer["truncation"] = {**cut, "direction": "Left"}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"the tokenizer.json of {directory} is damaged: {error!r}") from None
    return json.dumps(tokenizer, ensure_ascii=False).encode("utf-8")


def _content(token: Any, where: str) -> str:
    """A special token as config files write it: a str, or an object with its content."""
    if isinstance(token, dict):
        token = token.get("content")
    if not isinstance(token, str):
        raise ModelError(f"{where} must be a str, found {token!r}")
    return token


def _from_vocabulary(directory: Path) -> bytes:
    from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers, processors
    from tokenizers import Tokenizer as RawTokenizer
    from tokenizers.models import WordPiece

    config = read_json(directory / "tokenizer_config.json")
    config_path = directory / "tokenizer_config.json"
    name = str(config.get("tokenizer_class") or _WORDPIECE_CLASSES[0])
    if name.removesuffix("Fast") not in _WORDPIECE_CLASSES:
        raise ModelError(
            f"{config_path} asks for {name}, but a vocab.txt is enough for "
            f"{' and '.join(_WORDPIECE_CLASSES)} only; save a tokenizer.json with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    vocabulary = _read_vocabulary(directory / "vocab.txt")

    mapped = read_json(directory / "special_tokens_map.json")
    tokens = {
        key: _content(config.get(key, mapped.get(key, default)), f"{key} of {config_path}")
        for key, default in _SPECIAL_TOKENS.items()
    }
    for key in ("unk_token", "sep_token", "cls_token"):
        if tokens[key] not in vocabulary:
            raise ModelError(f"{directory / 'vocab.txt'} lacks the {key} {tokens[key]!r}")

    raw = RawTokenizer(WordPiece(vocabulary, unk_token=tokens["unk_token"]))
    raw.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True) is not False,
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True) is not False,
    )
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece(prefix="##")
    cls, sep = tokens["cls_token"], tokens["sep_token"]
    raw.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    raw.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token in tokens.values()
            if token in vocabulary
        ]
    )
    _add_own_tokens(raw, config, directory)
    return raw.to_str().encode("utf-8")


def _read_vocabulary(path: Path) -> dict[str, int]:
    """One token a line, its id the line number."""
    from tokenizers.models import WordPiece

    try:
        vocabulary: dict[str, int] = WordPiece.read_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"cannot read vocabulary {path}: {error}") from None
    return vocabulary


def _add_own_tokens(raw: Any, config: dict[str, Any], directory: Path) -> None:
    """Add the tokens that the user added beside the vocabulary, under their recorded ids."""
    from tokenizers import AddedToken

    recorded: dict[int, Any] = {}
    for index, token in config.get("added_tokens_decoder", {}).items():
        recorded[int(index)] = token
    for content, index in read_json(directory / "added_tokens.json").items():
        recorded.setdefault(int(index), content)
    for index, token in sorted(recorded.items()):
        settings = dict(token) if isinstance(token, dict) else {}
        content = _content(token, f"added token {index} of {directory}")
        flags = {
            key: bool(settings[key])
            for key in ("single_word", "lstrip", "rstrip", "normalized", "special")
            if key in settings
        }
        raw.add_tokens([AddedToken(content, **flags)])
        if raw.token_to_id(content) != index:
            raise ModelError(
                f"added token {content!r} of {directory} has id {index}, but the vocabulary gives "
                f"it {raw.token_to_id(content)}; save a tokenizer.json with AutoTokenizer"
            )

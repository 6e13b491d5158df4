"""Small Hugging Face directories with teeth, written without torch.

With transformers' own random weights a model that skips attention, biases or whole layers stays
close to the right answer. Here biases, layer-norm gains and uneven rows make every part count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers import models as tokenizer_models
from tokenizers.processors import TemplateProcessing

ARCHITECTURES = ("bert", "distilbert", "roberta", "camembert", "xlm-roberta")
TASKS = ("text-classification", "token-classification", "question-answering", "feature-extraction")
SEQUENCE_LABELS = ("negative", "neutral", "positive")
TOKEN_LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SPAN_LABELS = ("LABEL_0", "LABEL_1")  # what transformers calls the two rows of the head

Arrays = dict[str, npt.NDArray[np.float32]]

_CLASSES = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "roberta": "Roberta",
    "camembert": "Camembert",
    "xlm-roberta": "XLMRoberta",
}
_SUFFIXES = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "feature-extraction": "Model",
}
_WORDS = """
a about after again all also always an and any are as at back bad be beach because bed best big
book bread bus but by call car cat city clean close cold come could day did do dog door down each
eat end every far fast find first flat floor food for from garden get give go good great green had
has have he help her here high him his home hot hotel house how i if in is it its just key know
large last late left like little live long look lost love lunch make man many may me meet mind more
most mountain much must my near never new next nice night no north not now of off old on one only
open or other our out over own paper park people phone place plan play quiet rain read red rent
right river road room run same sea see send she shop short side sleep slow small snow so some soon
south stay still stone stop street summer sun table take tall tea than that the their them then
there they thing this time to today too town train tree trip turn two under up us very view visit
walk wall want warm was water way we week well were west what when where which white who why will
wind window winter with woman word work world would write year yes you your
anna berlin claire david emma lisbon london maria paris peter rome sofia thomas vienna
"""
_PIECES = ("##s", "##es", "##ed", "##ing", "##er", "##est", "##ly", "##y", "##n", "##t")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PUNCTUATION = ".,;:!?'\"()-+/@#&%*_=$"
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a test model. The defaults are small, and no power of two where that is allowed."""

    layers: int = 3
    hidden: int = 72
    heads: int = 4
    ffn: int = 200
    positions: int = 160
    activation: str = "gelu"
    extra: dict[str, Any] = field(default_factory=dict)  # further fields of config.json


def tokenizer(*, segment_ids: bool) -> Tokenizer:
    """A WordPiece tokenizer of a few hundred entries, in the manner of bert-base-uncased.

    `segment_ids` False: as RoBERTa has it, two separators between the texts of a pair and no
    segment numbers.
    """
    vocabulary = [*SPECIALS, *_PUNCTUATION, *_CHARACTERS]
    vocabulary += [f"##{c}" for c in _CHARACTERS] + list(_PIECES)
    vocabulary += [word for word in _WORDS.split() if len(word) > 1]
    ids = {piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))}
    made = Tokenizer(tokenizer_models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(list(SPECIALS))
    pair = (
        "[CLS] $A [SEP] $B:1 [SEP]:1" if segment_ids else "[CLS] $A:0 [SEP]:0 [SEP]:0 $B:0 [SEP]:0"
    )
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=pair,
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return made


def vocabulary_size() -> int:
    return int(tokenizer(segment_ids=True).get_vocab_size())


def write(
    directory: Path,
    architecture: str,
    task: str,
    *,
    shape: Shape | None = None,
    seed: int | None = None,
    labels: tuple[str, ...] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write config.json, model.safetensors and tokenizer files of a random model.

    Args:
        seed: of the weights; by default each architecture has its own.
        labels: label names; those of this module by default.
        config: further fields of config.json, such as problem_type.
    """
    shape = shape or Shape()
    seed = ARCHITECTURES.index(architecture) if seed is None else seed
    if labels is None:
        labels = {
            "text-classification": SEQUENCE_LABELS,
            "token-classification": TOKEN_LABELS,
            "question-answering": SPAN_LABELS,
        }.get(task, ())
    directory.mkdir(parents=True, exist_ok=True)
    fields = make_config(architecture, task, shape, labels) | shape.extra | (config or {})
    (directory / "config.json").write_text(json.dumps(fields, indent=2))
    save_file(
        make_weights(architecture, task, shape, len(labels), seed),
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )
    write_tokenizer(directory, architecture, shape)
    return directory


def write_tokenizer(directory: Path, architecture: str, shape: Shape) -> None:
    segment_ids = architecture in ("bert", "distilbert")
    tokenizer(segment_ids=segment_ids).save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens(architecture, shape),
        "model_input_names": ["input_ids", "attention_mask"]
        + (["token_type_ids"] if architecture == "bert" else []),
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


def write_sentence_model(
    directory: Path,
    architecture: str = "bert",
    *,
    pooling: tuple[str, ...] = ("mean",),
    normalize: bool = True,
    shape: Shape | None = None,
    seed: int = 0,
) -> Path:
    """A sentence-transformers directory; like published ones, it lacks Normalize's folder."""
    shape = shape or Shape()
    write(directory, architecture, "feature-extraction", shape=shape, seed=seed)
    kinds = ["Transformer", "Pooling"] + (["Normalize"] if normalize else [])
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir(exist_ok=True)
    flags = {
        f"pooling_mode_{mode}_token{'' if mode == 'cls' else 's'}": mode in pooling
        for mode in ("cls", "mean", "max")
    }
    (directory / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": shape.hidden} | flags)
    )
    (directory / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": max_tokens(architecture, shape), "do_lower_case": False})
    )
    return directory


def pad_id(architecture: str) -> int:
    return 0 if architecture in ("bert", "distilbert") else 1


def max_tokens(architecture: str, shape: Shape) -> int:
    if architecture in ("bert", "distilbert"):
        return shape.positions
    return shape.positions - pad_id(architecture) - 1


def make_config(
    architecture: str, task: str, shape: Shape, labels: tuple[str, ...]
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "architectures": [_CLASSES[architecture] + _SUFFIXES[task]],
        "model_type": architecture,
        "vocab_size": vocabulary_size(),
        "max_position_embeddings": shape.positions,
        "pad_token_id": pad_id(architecture),
    }
    if architecture == "distilbert":
        fields |= {
            "activation": shape.activation,
            "dim": shape.hidden,
            "hidden_dim": shape.ffn,
            "n_heads": shape.heads,
            "n_layers": shape.layers,
        }
    else:
        fields |= {
            "hidden_act": shape.activation,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.ffn,
            "layer_norm_eps": 1e-12 if architecture == "bert" else 1e-5,
            "num_attention_heads": shape.heads,
            "num_hidden_layers": shape.layers,
            "type_vocab_size": 2 if architecture == "bert" else 1,
        }
    if labels:
        fields["id2label"] = {str(i): name for i, name in enumerate(labels)}
        fields["label2id"] = {name: i for i, name in enumerate(labels)}
    return fields


class _Dice:
    """Random weights with teeth."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def linear(self, rows: int, inputs: int, boost: float = 1.0) -> npt.NDArray[np.float32]:
        # 0.03 is what a 768-wide encoder has; narrower ones need more for the same output.
        std = 0.03 * np.sqrt(768 / inputs) * boost
        uneven = np.exp(self._rng.uniform(-1.0, 1.0, size=(rows, 1)))
        return (self._rng.standard_normal((rows, inputs)) * std * uneven).astype(np.float32)

    def table(self, rows: int, width: int, std: float) -> npt.NDArray[np.float32]:
        uneven = np.exp(self._rng.uniform(-0.7, 0.7, size=(rows, 1)))
        return (self._rng.standard_normal((rows, width)) * std * uneven).astype(np.float32)

    def bias(self, width: int) -> npt.NDArray[np.float32]:
        return (self._rng.standard_normal(width) * 0.1).astype(np.float32)

    def gain(self, width: int) -> npt.NDArray[np.float32]:
        return self._rng.uniform(0.5, 1.5, size=width).astype(np.float32)


def make_weights(architecture: str, task: str, shape: Shape, labels: int, seed: int) -> Arrays:
    """Tensors under the names that transformers gives them for this class."""
    dice, c = _Dice(seed), shape.hidden
    prefix = "" if task == "feature-extraction" else _prefix(architecture)
    arrays: Arrays = {}

    def linear(name: str, rows: int, inputs: int, boost: float = 1.0) -> None:
        arrays[f"{name}.weight"] = dice.linear(rows, inputs, boost)
        arrays[f"{name}.bias"] = dice.bias(rows)

    def norm(name: str) -> None:
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = dice.gain(c), dice.bias(c)

    tables = f"{prefix}embeddings."
    arrays[f"{tables}word_embeddings.weight"] = dice.table(vocabulary_size(), c, 0.06)
    arrays[f"{tables}position_embeddings.weight"] = dice.table(shape.positions, c, 0.04)
    if architecture != "distilbert":
        types = 2 if architecture == "bert" else 1
        arrays[f"{tables}token_type_embeddings.weight"] = dice.table(types, c, 0.04)
    norm(f"{tables}LayerNorm")
    for i in range(shape.layers):
        if architecture == "distilbert":
            at = f"{prefix}transformer.layer.{i}."
            names = [f"{at}attention.{x}_lin" for x in "qkv"]
            rest = (
                "attention.out_lin",
                "sa_layer_norm",
                "ffn.lin1",
                "ffn.lin2",
                "output_layer_norm",
            )
        else:
            at = f"{prefix}encoder.layer.{i}."
            names = [f"{at}attention.self.{x}" for x in ("query", "key", "value")]
            rest = (
                "attention.output.dense",
                "attention.output.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            )
        out, first_norm, ffn_in, ffn_out, second_norm = (at + name for name in rest)
        for name, boost in zip(names, (1.4, 1.4, 1.0)):  # sharper than uniform attention
            linear(name, c, c, boost)
        linear(out, c, c)
        norm(first_norm)
        linear(ffn_in, shape.ffn, c)
        linear(ffn_out, c, shape.ffn)
        norm(second_norm)
    _add_head(linear, architecture, task, prefix, c, labels)
    return arrays


def _prefix(architecture: str) -> str:
    return {"bert": "bert.", "distilbert": "distilbert."}.get(architecture, "roberta.")


def _add_head(linear: Any, architecture: str, task: str, prefix: str, c: int, labels: int) -> None:
    if task == "feature-extraction":
        if architecture == "bert":  # BertModel carries its pooler, which feature extraction ignores
            linear("pooler.dense", c, c)
        return
    if task == "question-answering":
        linear("qa_outputs", labels, c)
    elif task == "token-classification":
        linear("classifier", labels, c)
    elif architecture == "bert":
        linear(f"{prefix}pooler.dense", c, c)
        linear("classifier", labels, c)
    elif architecture == "distilbert":
        linear("pre_classifier", c, c)
        linear("classifier", labels, c)
    else:
        linear("classifier.dense", c, c)
        linear("classifier.out_proj", labels, c)


def make_block_sparse(
    directory: Path, block: tuple[int, int], density: float, *, seed: int = 0
) -> Path:
    """Zero blocks of every encoder linear in place; kept ones grow by 1/sqrt(density)."""
    from safetensors.numpy import load_file

    rng = np.random.default_rng(seed)
    arrays = load_file(directory / "model.safetensors")
    for name, values in arrays.items():
        inside = ".layer." in name and values.ndim == 2
        if not inside or values.shape[0] % block[0] or values.shape[1] % block[1]:
            continue
        keep = rng.random((values.shape[0] // block[0], values.shape[1] // block[1])) < density
        mask = np.kron(keep, np.ones(block)).astype(np.float32)
        arrays[name] = values * mask / np.float32(np.sqrt(density))
    save_file(arrays, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def random_ids(
    architecture: str,
    lengths: tuple[int, ...] | list[int],
    *,
    seed: int = 0,
    pad_tokens: bool = True,
) -> list[list[int]]:
    """Sequences of token ids; some hold a literal pad token in the middle, as texts can."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(5, vocabulary_size(), size=n).tolist() for n in lengths]
    if pad_tokens:
        for row in rows[::2]:
            if len(row) > 4:
                row[len(row) // 2] = pad_id(architecture)
    return rows


def random_type_ids(rows: list[list[int]]) -> list[list[int]]:
    """0 up to somewhere in the middle, 1 from there on."""
    return [[int(t >= len(row) // 2) for t in range(len(row))] for row in rows]


SENTENCES = (
    "The house stands near the river, and the garden is quiet.",
    "Peter will meet Anna in Lisbon next week.",
    "A",
    "Call me when the train to Vienna is late!",
    "We had bread and tea; the room was cold, small and not very clean.",
    "Claire walked slowly down the long road to the sea, where Thomas read a book all day.",
    "No.",
    "The view of the mountains from window 12 was the best thing (never again the bus).",
)

__all__ = [
    "ARCHITECTURES",
    "SENTENCES",
    "SEQUENCE_LABELS",
    "TASKS",
    "TOKEN_LABELS",
    "Shape",
    "make_block_sparse",
    "random_ids",
    "random_type_ids",
    "replace",
    "tokenizer",
    "write",
    "write_sentence_model",
]

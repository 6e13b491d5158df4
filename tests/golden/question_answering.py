"""Answers of transformers' question-answering pipeline, kept in question_answering.json.

transformers 5 dropped that pipeline, so its answers cannot be asked for in the tests. This script
wrote them; the models and the cases below are what the tests ask limbeck too. To write them again:

    python -m venv golden
    golden/bin/pip install "transformers==4.57.6" "torch==2.13.0" numpy hypothesis
    golden/bin/python tests/golden/question_answering.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILE = HERE / "question_answering.json"
sys.path.insert(0, str(HERE.parent))

# Each architecture with a tokenizer of the kind that it is published with.
TOKENIZERS = {
    "bert": "wordpiece",
    "distilbert": "wordpiece",
    "roberta": "byte_level",
    "camembert": "unigram",
    "xlm-roberta": "unigram",
}
MAX_TOKENS = 120

_FLAT = (
    "The quiet flat is five minutes from the old harbour. The owner, Maria, lives next door and "
    "has kept the key since 1987; she speaks English, German and a little Italian."
)
_ODD = (
    "naïve Über-Brücke: e\u0301, ﬁne Ⅻ 北京的秋天 😀👩‍👩‍👧 🇩🇪 שלום עולם "
    "don't re-enter the 3rd-floor flat!"
)
_LONG = " ".join(
    f"In room {n} there are {n + 2} beds, {n} chairs and a view of the {view}."
    for n, view in enumerate(("sea", "town", "hill", "old bridge", "market", "garden") * 4)
)
_ECHO = "The beach is near. " * 40

CASES: list[dict[str, Any]] = [
    {"question": "Where is the flat?", "context": _FLAT},
    {"question": "Who keeps the key?", "context": _FLAT, "top_k": 5},
    {"question": "Who keeps the key?", "context": _FLAT, "top_k": 5, "align_to_words": False},
    {"question": "Since when?", "context": _FLAT, "max_answer_len": 1, "top_k": 3},
    {"question": "Since when?", "context": _FLAT, "max_answer_len": 60, "top_k": 3},
    {"question": "Is it loud?", "context": _FLAT, "handle_impossible_answer": True, "top_k": 4},
    {"question": "Is it loud?", "context": _FLAT, "handle_impossible_answer": True},
    {"question": "What is on the 3rd floor?", "context": _ODD, "top_k": 4},
    {"question": "北京?", "context": _ODD, "top_k": 3, "align_to_words": False},
    {"question": "Which room has a bridge?", "context": _LONG, "top_k": 6},
    {
        "question": "How many beds?",
        "context": _LONG,
        "max_seq_len": 48,
        "doc_stride": 9,
        "top_k": 4,
    },
    {
        "question": "How many beds?",
        "context": _LONG,
        "max_seq_len": 33,
        "doc_stride": 0,
        "top_k": 8,
    },
    {
        "question": "How many chairs?",
        "context": _LONG,
        "max_seq_len": 40,
        "doc_stride": 20,
        "handle_impossible_answer": True,
        "top_k": 3,
    },
    {"question": "What is near?", "context": _ECHO, "top_k": 5},
    {"question": "What is near?", "context": _ECHO, "top_k": 5, "max_seq_len": 30, "doc_stride": 8},
    {"question": "Why?", "context": "No."},
    {"question": "Why?", "context": "No.", "top_k": 20},
    {"question": "Why? " * 9, "context": "Because " * 60, "max_seq_len": 60, "doc_stride": 5},
]
# Calls with several questions: what the pipeline gives for lists, and for a list of one.
LISTS: list[list[int]] = [[0, 7, 15], [0]]


def write_model(directory: Path, architecture: str) -> Path:
    """The model with teeth and the tokenizer that both sides are asked through."""
    import models
    from tokenizer_files import write_tokenizer

    shape = models.Shape(positions=MAX_TOKENS + 8)
    models.write(directory, architecture, "question-answering", shape=shape)
    reads = ["input_ids", "attention_mask"] + ["token_type_ids"] * (architecture == "bert")
    write_tokenizer(
        directory,
        TOKENIZERS[architecture],
        model_max_length=MAX_TOKENS,
        model_input_names=reads,
    )
    return directory


def _golden(root: Path) -> dict[str, Any]:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    found: dict[str, Any] = {"transformers": transformers.__version__, "answers": {}, "lists": {}}
    for architecture in TOKENIZERS:
        directory = write_model(root / architecture, architecture)
        answer = transformers.pipeline("question-answering", model=str(directory), device="cpu")
        found["answers"][architecture] = [answer(**case) for case in CASES]
        found["lists"][architecture] = [
            answer([{key: CASES[i][key] for key in ("question", "context")} for i in some])
            for some in LISTS
        ]
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        text = json.dumps(_golden(Path(temporary)), ensure_ascii=False, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")

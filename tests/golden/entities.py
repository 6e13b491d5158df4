"""Entities and scores as seqeval 1.2.2 finds them, kept in entities.json.

seqeval comes as a source package that not every machine can build, so the tests do without it.
This script wrote its answers. To write them again:

    python -m venv golden
    golden/bin/pip install seqeval==1.2.2
    golden/bin/python tests/golden/entities.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "entities.json"
TAGS = ("O", "O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC")))
CASES, MOST_SENTENCES, MOST_WORDS = 150, 4, 8


def _golden() -> dict[str, Any]:
    from seqeval import metrics
    from seqeval.metrics.sequence_labeling import get_entities

    draw = random.Random(1)
    cases = []
    for _ in range(CASES):
        lengths = [draw.randint(1, MOST_WORDS) for _ in range(draw.randint(1, MOST_SENTENCES))]
        right = [draw.choices(TAGS, k=length) for length in lengths]
        # mostly right, so that there are hits to count
        said = [[tag if draw.random() < 0.7 else draw.choice(TAGS) for tag in it] for it in right]
        scores = [
            float(score(right, said, zero_division=0))
            for score in (metrics.precision_score, metrics.recall_score, metrics.f1_score)
        ]
        entities = [[list(one) for one in get_entities(tags)] for tags in said]
        cases.append({"said": said, "right": right, "entities": entities, "scores": scores})
    return {"seqeval": "1.2.2", "cases": cases}


if __name__ == "__main__":
    FILE.write_text(json.dumps(_golden()) + "\n", encoding="utf-8")

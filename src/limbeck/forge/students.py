"""A shallower student that starts from some of its teacher's layers.

Sanh et al. 2019 (DistilBERT, section 3): every other layer of the teacher is a good start.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from limbeck.errors import InputError
from limbeck.forge.checkpoint import Checkpoint, Student

# BERT and RoBERTa: encoder.layer.3.; DistilBERT: transformer.layer.3.
_LAYER = re.compile(r"^(.*\.layer\.)(\d+)(\..*)$")


def spread_layers(teacher_layers: int, student_layers: int) -> tuple[int, ...]:
    """Which layers the student takes: evenly spread, from the first on. 6 -> 3 gives 0, 2, 4.

    Raises:
        InputError: the student would have no layers, or more than its teacher.
    """
    if not 1 <= student_layers <= teacher_layers:
        raise InputError(
            f"a student of a teacher with {teacher_layers} layers can have 1 to {teacher_layers} "
            f"layers, not {student_layers}"
        )
    return tuple(i * teacher_layers // student_layers for i in range(student_layers))


def every_other_layer(
    teacher: Checkpoint, layers: int | None = None, *, beside: Sequence[Checkpoint] = ()
) -> Student:
    """A student with the teacher's width, embeddings and head and an even choice of its layers.

    Args:
        layers: how many; None: half of the teacher's, at least 1.
        beside: further teachers that it will learn from; they are noted in its lineage.
    """
    depth = int(teacher.model.config.num_hidden_layers)
    taken = spread_layers(depth, max(1, depth // 2) if layers is None else layers)
    return from_layers(teacher, taken, beside=beside)


def from_layers(
    teacher: Checkpoint, taken: Sequence[int], *, beside: Sequence[Checkpoint] = ()
) -> Student:
    """A student with the teacher's width, embeddings and head and these of its layers.

    Args:
        taken: numbers of the teacher's layers from 0, in the order in which the student has them.
        beside: further teachers that it will learn from; they are noted in its lineage.

    Raises:
        InputError: no layers, one that the teacher does not have, or one twice.
    """
    depth = int(teacher.model.config.num_hidden_layers)
    if not taken or len(set(taken)) < len(taken) or not set(taken) <= set(range(depth)):
        raise InputError(
            f"a student takes some of its teacher's layers 0 to {depth - 1}, each once; found "
            f"{', '.join(map(str, taken)) or 'none'}"
        )
    config = copy.deepcopy(teacher.model.config)
    config.num_hidden_layers = len(taken)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[: len(taken)]
    model = type(teacher.model)(config)
    place = {layer: index for index, layer in enumerate(taken)}
    weights = {}
    for name, value in teacher.model.state_dict().items():
        match = _LAYER.match(name)
        if match is None:
            weights[name] = value
        elif int(match[2]) in place:
            weights[f"{match[1]}{place[int(match[2])]}{match[3]}"] = value
    model.load_state_dict(weights, strict=True)
    return Student(
        model=model,
        source=teacher.source,
        tokenizer=teacher.tokenizer,
        labels=teacher.labels,
        max_tokens=teacher.max_tokens,
        lineage={
            "teacher": teacher.digest,
            **({"beside": [other.digest for other in beside]} if beside else {}),
            "layers": list(taken),
            "of": dict(teacher.lineage),
        },
    )

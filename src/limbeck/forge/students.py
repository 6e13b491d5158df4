"""Students: shallower, narrower, or another encoder altogether.

Sanh et al. 2019 (DistilBERT, section 3): every other layer of the teacher is a good start.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from limbeck import text
from limbeck.errors import InputError
from limbeck.forge import shapes
from limbeck.forge.checkpoint import Checkpoint, Student, load_for_training
from limbeck.forge.narrowing import Width, narrow
from limbeck.forge.shapes import StudentShape
from limbeck.forge.training import seeded

Init = Literal["teacher", "random"]

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
    _check_taken(teacher, taken)
    config = _config(teacher, len(taken))
    model = type(teacher.model)(config)
    model.load_state_dict(_weights(teacher, taken), strict=True)
    return _student(teacher, model, beside, layers=list(taken))


def of_shape(
    teacher: Checkpoint,
    shape: StudentShape | str,
    *,
    init: Init = "teacher",
    layers: Sequence[int] | None = None,
    seed: int = 0,
    beside: Sequence[Checkpoint] = (),
) -> Student:
    """A student of another depth and width, that reads the teacher's tokens.

    It has the teacher's architecture and vocabulary; of the shape it takes layers, width, heads and
    feed-forward width.

    Args:
        shape: or its name, see `limbeck.forge.shapes.named`.
        init: "teacher": the rows and columns of the teacher's weights that weigh most, see
            `limbeck.forge.narrowing`; "random": as a fresh model, from `seed`.
        layers: which of the teacher's layers it begins as; None: an even choice.
        beside: further teachers that it will learn from; they are noted in its lineage.

    Raises:
        InputError: heads do not divide the width, or the teacher has fewer of anything than the
            student would take from it.
    """
    if init not in get_args(Init):
        raise InputError(f"a student begins as teacher or random, not {init!r}")
    if isinstance(shape, str):
        shape = shapes.named(shape)
    if not shape.runs:
        raise InputError(f"{shape.name} is an architecture that limbeck does not run: {shape.note}")
    if shape.hidden % shape.heads:
        raise InputError(
            f"shape {shape.name}: {shape.heads} heads do not divide a width of {shape.hidden}"
        )
    wanted = Width(hidden=shape.hidden, heads=shape.heads, ffn=shape.ffn)
    config = _config(teacher, shape.layers, wanted)
    said = {"shape": f"{shape.layers}x{shape.hidden}x{shape.heads}x{shape.ffn}", "init": init}
    if init == "random":
        if layers is not None:
            raise InputError("a student that begins at random takes no layers of its teacher")
        with seeded(seed):
            model = type(teacher.model)(config)
        return _student(teacher, model, beside, **said, seed=seed)
    depth, own = int(teacher.model.config.num_hidden_layers), _width(teacher.model.config)
    if layers is None and shape.layers <= depth:
        layers = spread_layers(depth, shape.layers)
    limits = {
        "layers": (shape.layers, depth),
        "width": (wanted.hidden, own.hidden),
        "heads": (wanted.heads, own.heads),
        "width of a head": (wanted.head, own.head),
        "width of the feed-forward layer": (wanted.ffn, own.ffn),
    }
    for what, (asked, there) in limits.items():
        if asked > there:
            raise InputError(
                f"shape {shape.name} cannot be cut out of the teacher: {what} {asked}, and the "
                f"teacher has {there}; begin at random, or from an encoder of that shape"
            )
    assert layers is not None
    _check_taken(teacher, layers)
    if len(layers) != shape.layers:
        raise InputError(
            f"shape {shape.name} has {shape.layers} layers, and {len(layers)} are named"
        )
    model = type(teacher.model)(config)
    model.load_state_dict(narrow(_weights(teacher, layers), own, wanted), strict=True)
    return _student(teacher, model, beside, **said, layers=list(layers))


def from_encoder(
    teacher: Checkpoint,
    name_or_path: str | Path,
    *,
    seed: int = 0,
    beside: Sequence[Checkpoint] = (),
) -> Student:
    """A student that begins as another encoder, with a fresh head for the teacher's labels.

    Its tokenizer is its own. Where that has other tokens than the teacher's, only answers can be
    distilled, not what the teacher computes token by token.

    Args:
        name_or_path: a Hugging Face or sentence-transformers directory, or a hub name.
        seed: of the head.

    Raises:
        ModelError: the encoder cannot be loaded, or limbeck does not run its architecture.
    """
    model, source = load_for_training(
        name_or_path, teacher.labels, seed=seed, problem=teacher.problem, task=teacher.task
    )
    positions = int(model.config.max_position_embeddings)
    if model.config.model_type not in ("bert", "distilbert"):
        positions -= int(model.config.pad_token_id) + 1  # RoBERTa counts from behind the padding
    longest = min(teacher.max_tokens, text.resolve_max_tokens(source, positions))
    model.eval()
    return Student(
        model=model,
        source=source,
        tokenizer=text.Tokenizer.from_directory(source),
        labels=teacher.labels,
        max_tokens=longest,
        lineage=_lineage(teacher, beside, encoder=source.name, seed=seed),
    )


def _check_taken(teacher: Checkpoint, taken: Sequence[int]) -> None:
    """Raises InputError where the teacher lacks one of these layers."""
    depth = int(teacher.model.config.num_hidden_layers)
    if not taken or len(set(taken)) < len(taken) or not set(taken) <= set(range(depth)):
        raise InputError(
            f"a student takes some of its teacher's layers 0 to {depth - 1}, each once; found "
            f"{', '.join(map(str, taken)) or 'none'}"
        )


def _width(config: Any) -> Width:
    ffn = getattr(config, "intermediate_size", None) or config.hidden_dim
    return Width(
        hidden=int(config.hidden_size), heads=int(config.num_attention_heads), ffn=int(ffn)
    )


def _config(teacher: Checkpoint, layers: int, width: Width | None = None) -> Any:
    config = copy.deepcopy(teacher.model.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None) is not None:
        known = config.layer_types
        config.layer_types = (known * layers)[:layers]
    if width is not None:
        config.hidden_size, config.num_attention_heads = width.hidden, width.heads
        name = "intermediate_size" if hasattr(config, "intermediate_size") else "hidden_dim"
        setattr(config, name, width.ffn)
    return config


def _weights(teacher: Checkpoint, taken: Sequence[int]) -> dict[str, Any]:
    """The teacher's weights with these layers alone, numbered anew."""
    place = {layer: index for index, layer in enumerate(taken)}
    weights = {}
    for name, value in teacher.model.state_dict().items():
        match = _LAYER.match(name)
        if match is None:
            weights[name] = value
        elif int(match[2]) in place:
            weights[f"{match[1]}{place[int(match[2])]}{match[3]}"] = value
    return weights


def _lineage(teacher: Checkpoint, beside: Sequence[Checkpoint], **more: Any) -> dict[str, Any]:
    others = {"beside": [other.digest for other in beside]} if beside else {}
    return {"teacher": teacher.digest, **others, **more, "of": dict(teacher.lineage)}


def _student(teacher: Checkpoint, model: Any, beside: Sequence[Checkpoint], **more: Any) -> Student:
    """A student that reads the teacher's tokens; `more` goes into its lineage."""
    return Student(
        model=model,
        source=teacher.source,
        tokenizer=teacher.tokenizer,
        labels=teacher.labels,
        max_tokens=teacher.max_tokens,
        lineage=_lineage(teacher, beside, **more),
    )

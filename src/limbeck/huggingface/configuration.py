"""config.json -> EncoderSpec, task, labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from limbeck.errors import ModelError
from limbeck.spec import (
    ARCHITECTURES,
    HEAD_TASKS,
    SPAN_LABELS,
    TASKS,
    Activation,
    Architecture,
    EncoderSpec,
    HeadSpec,
    Problem,
    Task,
)

# transformers' class names start so; the rest of the name says which head stands on the encoder.
ARCHITECTURE_CLASSES: dict[Architecture, str] = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "roberta": "Roberta",
    "camembert": "Camembert",
    "xlm-roberta": "XLMRoberta",
}
_HEADS: dict[str, Task] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    # Their heads play no part in what the encoder answers.
    "Model": "feature-extraction",
    "ForMaskedLM": "feature-extraction",
    "ForPreTraining": "feature-extraction",
}
# "gelu" is the exact form (erf); the others are, up to rounding, the same tanh formula.
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "relu": "relu",
}
_PROBLEMS: dict[str, Problem] = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
_DISTILBERT_NORM_EPS = 1e-12  # fixed in transformers, not part of its configuration

_MAX_LABELS = 2**24  # as every size in limbeck.spec

_T = TypeVar("_T", int, float)


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises ModelError naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error


def read_config(directory: Path) -> dict[str, Any]:
    """config.json of a model directory. Raises ModelError where the directory is no model."""
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{directory} is no model directory: it has no config.json "
            "(and no limbeck.json, which would make it an artifact)"
        )
    config = read_json(path)
    if not isinstance(config, dict):
        raise ModelError(f"{path} must hold one JSON object")
    return config


def architecture(config: Mapping[str, Any]) -> Architecture:
    """Which of the supported families a configuration describes.

    Raises:
        ModelError: none of them; or a class of somebody's own code on top of one.
    """
    supported = ", ".join(ARCHITECTURES)
    kind = config.get("model_type")
    class_name = _class_name(config)
    if kind is None and class_name is not None:  # files of 2019 carry no model_type
        kind = next((k for k, name in ARCHITECTURE_CLASSES.items() if _suffix(class_name, k)), None)
    if kind is None:
        raise ModelError(f"config.json names no model_type; supported: {supported}")
    if kind not in ARCHITECTURES:
        raise ModelError(f"architecture {kind!r} is not supported; supported: {supported}")
    found = cast(Architecture, kind)
    if class_name is not None and _suffix(class_name, found) is None:
        raise ModelError(
            f"class {class_name} is not one of transformers' {ARCHITECTURE_CLASSES[found]} "
            f"classes, so its computation is unknown; supported: {supported}"
        )
    return found


def _class_name(config: Mapping[str, Any]) -> str | None:
    classes = config.get("architectures")
    if isinstance(classes, list) and classes and isinstance(classes[0], str):
        return classes[0]
    return None


def _suffix(class_name: str, kind: Architecture) -> str | None:
    """What follows the family in a class name: "ForTokenClassification", "Model", ..."""
    prefix = ARCHITECTURE_CLASSES[kind]
    rest = class_name.removeprefix(prefix)
    if rest == class_name or not (rest.startswith("For") or rest.endswith("Model")):
        return None
    return rest


def encoder_spec(config: Mapping[str, Any]) -> EncoderSpec:
    """The encoder that a configuration describes, with transformers' defaults for absent fields.

    Raises:
        ModelError: an unsupported architecture, activation or position embedding, a decoder, or a
            field that is missing sense.
    """
    kind = architecture(config)
    _refuse_variants(config)
    if kind == "distilbert":
        return EncoderSpec(
            architecture=kind,
            layers=_number(config, ("n_layers", "num_hidden_layers"), 6),
            hidden=_number(config, ("dim", "hidden_size"), 768),
            heads=_number(config, ("n_heads", "num_attention_heads"), 12),
            ffn=_number(config, ("hidden_dim",), 3072),
            vocab=_number(config, ("vocab_size",), 30522),
            positions=_number(config, ("max_position_embeddings",), 512),
            types=0,
            activation=_activation(config.get("activation", "gelu")),
            norm_eps=_DISTILBERT_NORM_EPS,
            pad_id=_pad_id(config, 0),
        )
    bert = kind == "bert"
    return EncoderSpec(
        architecture=kind,
        layers=_number(config, ("num_hidden_layers",), 12),
        hidden=_number(config, ("hidden_size",), 768),
        heads=_number(config, ("num_attention_heads",), 12),
        ffn=_number(config, ("intermediate_size",), 3072),
        vocab=_number(config, ("vocab_size",), 30522 if bert else 50265),
        positions=_number(config, ("max_position_embeddings",), 512),
        types=_number(config, ("type_vocab_size",), 2),
        activation=_activation(config.get("hidden_act", "gelu")),
        norm_eps=_number(config, ("layer_norm_eps",), 1e-12),
        position_mode="absolute" if bert else "after_padding",
        pad_id=_pad_id(config, 0 if bert else 1),
    )


def _refuse_variants(config: Mapping[str, Any]) -> None:
    for flag in ("is_decoder", "add_cross_attention"):
        if config.get(flag):
            raise ModelError(f"config.json sets {flag}; only encoders are supported")
    positions = config.get("position_embedding_type", "absolute")
    if positions not in ("absolute", None):
        raise ModelError(
            f"position_embedding_type {positions!r} is not supported; supported: absolute"
        )
    if config.get("quantization_config"):
        raise ModelError(
            "the weights are quantised by another tool (quantization_config in config.json); "
            "start from the float checkpoint and ask for precision='int8'"
        )


def _number(config: Mapping[str, Any], keys: tuple[str, ...], default: _T) -> _T:
    for key in keys:
        if config.get(key) is None:
            continue
        value = config[key]
        wanted: tuple[type, ...] = (int,) if isinstance(default, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise ModelError(f"config.json field {key} must be a number, found {value!r}")
        return cast(_T, value)
    return default


def _pad_id(config: Mapping[str, Any], default: int) -> int:
    if "pad_token_id" in config and config["pad_token_id"] is None and default:
        raise ModelError("config.json must give pad_token_id: positions are counted from it")
    return _number(config, ("pad_token_id",), default)


def _activation(name: object) -> Activation:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ModelError(
            f"activation {name!r} is not supported; supported: {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def resolve_task(config: Mapping[str, Any], asked: str | None, *, sentence: bool) -> Task:
    """The task asked for, or the one that the model was made for.

    Args:
        asked: a task name or None.
        sentence: the directory is a sentence-transformers one.

    Raises:
        ModelError: the model has no head for the task, or a head that is not supported and no task
            was asked for.
    """
    kind = architecture(config)
    class_name = _class_name(config)
    suffix = None if class_name is None else _suffix(class_name, kind)
    own: Task | None = "feature-extraction" if suffix is None else _HEADS.get(suffix)
    if asked is None:
        if sentence and own in ("feature-extraction", None):
            return "sentence-embedding"
        if own is None:
            raise ModelError(
                f"the head of {class_name} is not supported; pass task='feature-extraction' or "
                "task='sentence-embedding' to use its encoder alone"
            )
        return own
    if asked not in TASKS:
        raise ModelError(f"task {asked!r} is not supported; supported: {', '.join(TASKS)}")
    if asked in HEAD_TASKS and asked != own:
        wanted = next(suffix for suffix, task in _HEADS.items() if task == asked)
        raise ModelError(
            f"{asked} needs {ARCHITECTURE_CLASSES[kind]}{wanted}; this directory holds "
            f"{class_name or 'a plain encoder'}: fine-tune it for the task first"
        )
    return asked


def head_spec(kind: Architecture, task: Task) -> HeadSpec | None:
    """The head that transformers puts on this architecture for this task."""
    if task in ("token-classification", "question-answering"):
        return HeadSpec(kind="token")
    if task == "text-classification":
        return HeadSpec(kind="sequence", dense="relu" if kind == "distilbert" else "tanh")
    return None


def labels(config: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    """Label names in the order of the classifier's rows; transformers' names where none are given.

    A question answering head has the same two rows whatever the configuration calls them.

    Raises:
        ModelError: the ids are not 0, 1, 2, ...
    """
    if task == "question-answering":
        return SPAN_LABELS
    names = config.get("id2label")
    if names is None:
        count = _number(config, ("num_labels",), 2)
        if not 0 < count < _MAX_LABELS:
            raise ModelError(f"num_labels in config.json must be positive, found {count}")
        return tuple(f"LABEL_{i}" for i in range(count))
    if not isinstance(names, dict) or not names:
        raise ModelError("id2label in config.json must map label ids to names")
    by_id: dict[int, str] = {}
    for key, name in names.items():
        if not str(key).isdecimal() or not isinstance(name, str):
            raise ModelError(f"id2label in config.json has a bad entry: {key!r}: {name!r}")
        by_id[int(key)] = name
    if sorted(by_id) != list(range(len(names))):
        raise ModelError(f"id2label in config.json must number labels 0, 1, ...: {sorted(by_id)}")
    return tuple(by_id[i] for i in range(len(by_id)))


def problem(config: Mapping[str, Any]) -> Problem | None:
    """The kind of classification, or None where the configuration leaves it open."""
    name = config.get("problem_type")
    if name is None:
        return None
    if name not in _PROBLEMS:
        raise ModelError(f"problem_type {name!r} is not one of {', '.join(_PROBLEMS)}")
    return _PROBLEMS[name]

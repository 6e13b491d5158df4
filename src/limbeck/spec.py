"""What a model is, as frozen values: its encoder, its task, its number formats.

Letters used in every shape comment: B sequences, T tokens of a packed batch, S longest sequence,
H heads, D head width, C hidden, F feed-forward, V vocabulary, P positions, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from limbeck.errors import ModelError

Architecture = Literal["bert", "distilbert", "roberta", "camembert", "xlm-roberta"]
Activation = Literal["gelu", "gelu_tanh", "relu"]
PositionMode = Literal["absolute", "after_padding"]
HeadKind = Literal["sequence", "token"]
HeadActivation = Literal["tanh", "relu"]
Problem = Literal["single_label", "multi_label", "regression"]
Task = Literal[
    "text-classification",
    "token-classification",
    "question-answering",
    "feature-extraction",
    "sentence-embedding",
]
Pooling = Literal["cls", "max", "mean"]
# Whether each token's range is found when it comes by, or the model brings one for all of them.
Activations = Literal["dynamic", "static"]
# How weights are stored, and how an engine computes with them; bf16 is made of fp32 at load.
Precision = Literal["fp32", "int8"]
ComputePrecision = Literal["fp32", "bf16", "int8"]

ARCHITECTURES: tuple[Architecture, ...] = (
    "bert",
    "distilbert",
    "roberta",
    "camembert",
    "xlm-roberta",
)
TASKS: tuple[Task, ...] = (
    "text-classification",
    "token-classification",
    "question-answering",
    "feature-extraction",
    "sentence-embedding",
)
# Those that a head answers; the others are answered by hidden states.
HEAD_TASKS: tuple[Task, ...] = (
    "text-classification",
    "token-classification",
    "question-answering",
)
# The rows of a question answering head, and so its labels: where an answer begins, where it ends.
SPAN_LABELS = ("start", "end")

# int32 accumulators hold sum over K of u8 * s8: K * 255 * 127 must stay below 2**31.
MAX_INT8_INPUTS = (2**31 - 1) // (255 * 127)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Shape and conventions of a BERT-family encoder.

    Raises:
        ModelError: a field is out of range, or the hidden size does not divide into the heads.
    """

    architecture: Architecture
    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    positions: int
    types: int = 0
    activation: Activation = "gelu"
    norm_eps: float = 1e-12
    # "absolute": token t of a sequence has position t. "after_padding" (RoBERTa): positions count
    # the tokens that differ from pad_id, starting at pad_id + 1; a pad token itself sits at pad_id.
    position_mode: PositionMode = "absolute"
    pad_id: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "ffn", "vocab", "positions"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**24:
                raise ModelError(f"encoder field {name} must be in 1 .. 2**24 - 1, found {value!r}")
        if not isinstance(self.types, int) or not 0 <= self.types < 2**24:
            raise ModelError(f"encoder field types must be in 0 .. 2**24 - 1, found {self.types!r}")
        if self.architecture not in ARCHITECTURES:
            raise ModelError(
                f"architecture {self.architecture!r} is not supported; "
                f"supported: {', '.join(ARCHITECTURES)}"
            )
        if self.hidden % self.heads:
            raise ModelError(
                f"hidden size {self.hidden} does not divide into {self.heads} attention heads"
            )
        if self.activation not in ("gelu", "gelu_tanh", "relu"):
            raise ModelError(f"activation {self.activation!r} is not gelu, gelu_tanh or relu")
        if self.position_mode not in ("absolute", "after_padding"):
            raise ModelError(
                f"position mode {self.position_mode!r} is not absolute or after_padding"
            )
        if not 0 < self.norm_eps < 1:
            raise ModelError(f"norm_eps must be between 0 and 1, found {self.norm_eps!r}")
        if not isinstance(self.pad_id, int) or not 0 <= self.pad_id < self.vocab:
            raise ModelError(f"pad_id {self.pad_id!r} is outside the vocabulary of {self.vocab}")
        if self.max_tokens < 1:
            raise ModelError(f"{self.positions} positions leave no room for a token")

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads

    @property
    def max_tokens(self) -> int:
        """Longest sequence, special tokens included, that the position table can carry."""
        if self.position_mode == "after_padding":
            return self.positions - self.pad_id - 1
        return self.positions


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """A classification head: on the first token of each sequence, or on every token.

    `dense` is the activation behind the extra [C, C] layer that stands before the classifier
    (BERT's pooler and RoBERTa's dense: tanh; DistilBERT's pre_classifier: relu); None: no such
    layer.
    """

    kind: HeadKind
    dense: HeadActivation | None = None


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Decide for `label` where its score reaches `value`; chosen on validation data."""

    label: str
    value: float
    false_alarm_rate: float


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What the model answers. `max_tokens` is where texts are cut, special tokens included.

    Raises:
        ModelError: labels, head and task do not fit together.
    """

    task: Task
    max_tokens: int
    labels: tuple[str, ...] = ()
    problem: Problem | None = None
    head: HeadSpec | None = None
    pooling: tuple[Pooling, ...] = ()
    normalize: bool = False
    threshold: Threshold | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ModelError(f"task {self.task!r} is not supported; supported: {', '.join(TASKS)}")
        if not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise ModelError(f"max_tokens must be a positive integer, found {self.max_tokens!r}")
        if self.head is not None and not self.labels:
            raise ModelError("a model with a classification head needs its labels")
        if self.task in HEAD_TASKS and self.head is None:
            raise ModelError(f"{self.task} needs a head of its own; this model has none")
        if self.task == "question-answering" and self.labels != SPAN_LABELS:
            raise ModelError(
                f"question answering scores {' and '.join(SPAN_LABELS)} of an answer; this model "
                f"has the labels {list(self.labels)}"
            )
        if self.threshold is not None and self.threshold.label not in self.labels:
            raise ModelError(
                f"threshold names label {self.threshold.label!r}; labels are {list(self.labels)}"
            )


@dataclass(frozen=True, kw_only=True)
class SparsitySpec:
    """A block pattern, output rows x inputs, and the share of blocks that are zero."""

    rows: int
    cols: int
    sparsity: float


@dataclass(frozen=True, kw_only=True)
class QuantSpec:
    """Number formats. int8: weights s8 per output row, activations u8 asymmetric: "dynamic", in
    each token's own range, or "static", in ranges that come with the weights.

    Raises:
        ModelError: static ranges without int8.
    """

    precision: Precision
    activations: Activations = "dynamic"

    def __post_init__(self) -> None:
        if self.activations == "static" and self.precision != "int8":
            raise ModelError("static ranges of activations are for int8 models")


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Everything but the weights and the tokenizer."""

    encoder: EncoderSpec
    task: TaskSpec
    quant: QuantSpec = field(default_factory=lambda: QuantSpec(precision="fp32"))

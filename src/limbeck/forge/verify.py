"""Does a converted model answer as its source does? torch against oracle against engine.

The oracle (`limbeck.engine.reference`) defines what the engine computes; torch is what the model
was trained with. Each is compared on the same golden token ids, and a file counts as done only when
all agree within the limits stated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck import artifact, huggingface, runtimes
from limbeck.engine import reference
from limbeck.engine.quantization import convert_weights
from limbeck.errors import VerifyError
from limbeck.forge.golden import PAIRS, TEXTS, GoldenInputs, golden_inputs
from limbeck.runtimes import Output
from limbeck.spec import ModelSpec, Precision
from limbeck.tensors import Tensor, Weights, is_range
from limbeck.text import Tokenizer

F32 = npt.NDArray[np.float32]
Outputs = Mapping[Output, F32]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest error that each comparison may show. The int8 engine's against the int8 oracle is
    not among them: it is 0, for they agree in every bit.

    fp32: three programs that add the same float32 numbers in different orders; 1e-4 is some hundred
    times what that explains, and far below what a wrong constant costs.

    int8: what quantising may cost against torch, in hidden states. Logits are reported without a
    limit: a trained classifier's logits hardly differ between texts of one class, and an error
    relative to so small a spread says little. The task's own metric judges them.
    """

    fp32: float = 1e-4
    int8: float = 0.25


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One figure: `found` against `expected` on the golden inputs.

    error: relative L2 over all inputs, ||found - expected|| / ||expected - its mean||.
    `worst_tokens` is the length of the input with the largest share in the error. `limit` None:
    reported, not judged.
    """

    found: str
    expected: str
    output: str
    error: float
    limit: float | None
    worst_tokens: int

    @property
    def passed(self) -> bool:
        # NaN is within no limit
        return self.limit is None or self.error <= self.limit

    def __str__(self) -> str:
        limit = "" if self.limit is None else f", limit {self.limit:.2g}"
        return f"{self.found} against {self.expected}, {self.output}: {self.error:.2e}{limit}"


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """All comparisons of one model. `problems` are findings that no tolerance excuses."""

    source: str
    against: str | None
    precision: str
    inputs: int
    tokens: int
    lengths: tuple[int, ...]
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        return not self.problems and all(row.passed for row in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def verify(
    model: str | Path,
    *,
    against: str | Path | None = None,
    task: str | None = None,
    limits: Limits = Limits(),
    threads: int | None = None,
    same_weights: bool | None = None,
) -> VerifyReport:
    """Compare an artifact, or a model directory, with the oracle and with torch.

    Args:
        model: an artifact or a Hugging Face directory. The directory is compared with itself in
            torch.
        against: the Hugging Face directory that an artifact was made from; None: the engine is
            compared with the oracle alone.
        task: for a Hugging Face directory, the task that it is read for.
        same_weights: whether the artifact must hold the weights of `against`, put through the same
            rounding; None: unless its lineage says that outliers were moved into them (smoothing).
            Its answers are compared in any case.

    Raises:
        VerifyError: a limit is exceeded; the message names each comparison that failed.
        ArtifactError, ModelError: the model cannot be read.
    """
    stored = runtimes.open_source(model, task)
    loaded = runtimes.load(model, threads=threads, task=task)
    spec = stored.spec
    if against is None and not artifact.is_artifact(stored.directory):
        against = stored.directory
    precision = spec.quant.precision
    golden = golden_inputs(spec.encoder, loaded.tokenizer())
    outputs: tuple[Output, ...] = ("hidden",) if spec.task.head is None else ("hidden", "logits")
    packed = golden.packed()
    engine = {name: loaded.forward(packed, output=name) for name in outputs}
    problems = _batch_mates(loaded, golden, engine["hidden"])

    original = None
    weights = stored.weights
    if against is not None:
        original = huggingface.read(huggingface.resolve(against), task=spec.task.task)
        weights = original.weights
        if not _smoothed(stored.directory) if same_weights is None else same_weights:
            problems += _same_weights(stored.weights, original.weights, spec)
        problems += _same_tokens(loaded.tokenizer(), original.directory, spec)
    exact = _oracle(spec, weights, golden, "fp32", outputs)
    rows: list[Comparison] = []
    if precision == "fp32":
        rows += _compare("engine", engine, "oracle", exact, golden, limits.fp32)
    else:
        rounded = _oracle(spec, stored.weights, golden, "int8", outputs)
        rows += _compare("int8 engine", engine, "int8 oracle", rounded, golden, 0.0)
        rows += _compare("int8 engine", engine, "fp32 oracle", exact, golden, None)
    if original is not None:
        wanted = _torch(original.directory, spec, golden, outputs)
        rows += _compare("fp32 oracle", exact, "torch", wanted, golden, limits.fp32)
        limit = limits.fp32 if precision == "fp32" else limits.int8
        rows += [
            row if precision == "fp32" or row.output == "hidden" else replace(row, limit=None)
            for row in _compare(f"{precision} engine", engine, "torch", wanted, golden, limit)
        ]
    report = VerifyReport(
        source=str(model),
        against=None if against is None else str(against),
        precision=precision,
        inputs=len(golden.ids),
        tokens=golden.tokens,
        lengths=golden.lengths,
        comparisons=tuple(rows),
        problems=tuple(problems),
    )
    if not report.passed:
        failed = [str(row) for row in rows if not row.passed]
        raise VerifyError(
            f"{model} does not answer as it should: " + "; ".join([*report.problems, *failed])
        )
    return report


def _smoothed(directory: Path) -> bool:
    """Whether an artifact's weights are not those of its source, for outliers were moved there."""
    if not artifact.is_artifact(directory):
        return False
    with artifact.read(directory, verify=False) as opened:
        said = opened.lineage.get("calibration")
    return isinstance(said, dict) and said.get("smooth") is not None


def _oracle(
    spec: ModelSpec,
    weights: Weights,
    golden: GoldenInputs,
    precision: Precision,
    names: tuple[Output, ...],
) -> Outputs:
    batch = golden.packed()
    weights = convert_weights(weights, spec.encoder, precision)
    hidden = reference.encode(spec.encoder, weights, batch, precision)
    found: dict[Output, F32] = {"hidden": hidden}
    if "logits" in names:
        assert spec.task.head is not None
        found["logits"] = reference.classify(
            spec.task.head, weights, hidden, batch.cu_seqlens, precision
        )
    return found


def _compare(
    found_name: str,
    found: Outputs,
    expected_name: str,
    expected: Outputs,
    golden: GoldenInputs,
    limit: float | None,
) -> list[Comparison]:
    rows = []
    for output, wanted in expected.items():
        # per golden input: hidden states and token logits have a row a token, logits one a sequence
        owner = np.arange(len(golden.ids))
        if len(wanted) == golden.tokens:
            owner = np.repeat(owner, [len(ids) for ids in golden.ids])
        error = np.square((found[output] - wanted).astype(np.float64)).sum(axis=1)
        spread = np.square((wanted - wanted.mean(axis=0)).astype(np.float64)).sum()
        by_input = np.bincount(owner, weights=error, minlength=len(golden.ids))
        rows.append(
            Comparison(
                found=found_name,
                expected=expected_name,
                output=output,
                error=float(np.sqrt(error.sum() / spread)),
                limit=limit,
                worst_tokens=len(golden.ids[int(by_input.argmax())]),
            )
        )
    return rows


def _batch_mates(model: runtimes.Model, golden: GoldenInputs, together: F32) -> list[str]:
    """Every input alone must give the bits that it gave beside all the others."""
    starts = golden.packed().cu_seqlens
    differing = []
    for index in range(len(golden.ids)):
        alone = model.forward(golden.single(index), output="hidden")
        if not np.array_equal(alone, together[starts[index] : starts[index + 1]]):
            differing.append(len(golden.ids[index]))
    if not differing:
        return []
    return [f"inputs of {differing} tokens answer differently alone than beside others"]


def _same_weights(stored: Weights, original: Weights, spec: ModelSpec) -> list[str]:
    """The artifact's weights must be those of its source, put through the same rounding."""
    converted = convert_weights(original, spec.encoder, spec.quant.precision)
    # Static ranges are the artifact's own: measured, not converted.
    names = {name for name in stored if not is_range(name)}
    if names != set(converted):
        odd = sorted(names ^ set(converted))
        return [f"the artifact and its source do not have the same tensors: {', '.join(odd[:3])}"]
    differing = [name for name in converted if not _equal(stored[name], converted[name])]
    if not differing:
        return []
    return [
        f"{len(differing)} tensors are not those of the source (the first: {differing[0]}); "
        "the artifact was made from another model, or is damaged"
    ]


def _equal(first: Tensor, second: Tensor) -> bool:
    if not np.array_equal(first.stored(), second.stored()):
        return False
    if first.scale is None or second.scale is None:
        return first.scale is None and second.scale is None
    return np.array_equal(first.scale, second.scale)


def _same_tokens(tokenizer: Tokenizer, directory: Path, spec: ModelSpec) -> list[str]:
    """Token ids must be those of transformers' own tokenizer, cut at the same place."""
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(directory)
    longest = spec.task.max_tokens
    firsts, seconds = [first for first, _ in PAIRS], [second for _, second in PAIRS]
    problems = []
    for texts, pairs in ((list(TEXTS), None), (firsts, seconds)):
        ours = [row.ids for row in tokenizer.encode(texts, pairs, max_tokens=longest)]
        expected = theirs(texts, pairs, truncation=True, max_length=longest)["input_ids"]
        for text, found, wanted in zip(texts, ours, expected, strict=True):
            if list(found) != list(wanted):
                problems.append(f"the text {text[:40]!r} gives other token ids in transformers")
    return problems


def _torch(
    directory: Path, spec: ModelSpec, golden: GoldenInputs, names: tuple[Output, ...]
) -> Outputs:
    """The same golden inputs through transformers in float32, one by one and without padding."""
    import torch
    import transformers

    from limbeck.forge.checkpoint import quiet

    classes = {
        "text-classification": transformers.AutoModelForSequenceClassification,
        "token-classification": transformers.AutoModelForTokenClassification,
        "question-answering": transformers.AutoModelForQuestionAnswering,
    }
    loader = classes.get(spec.task.task, transformers.AutoModel)
    with quiet():
        model = loader.from_pretrained(directory, dtype=torch.float32)
    model.eval()
    found: dict[Output, list[F32]] = {name: [] for name in names}
    with torch.inference_mode():
        for index, ids in enumerate(golden.ids):
            inputs = {"input_ids": torch.tensor([ids])}
            if golden.type_ids is not None:
                inputs["token_type_ids"] = torch.tensor([golden.type_ids[index]])
            # every token is a token: a random pad id must not be taken for padding
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            answer = model(**inputs, output_hidden_states=True)
            found["hidden"].append(answer.hidden_states[-1][0].numpy())
            if "logits" in names:
                if spec.task.task == "question-answering":
                    spans = torch.stack([answer.start_logits, answer.end_logits], dim=-1)
                    found["logits"].append(spans[0].numpy())
                    continue
                logits = answer.logits
                found["logits"].append((logits if logits.dim() == 2 else logits[0]).numpy())
    return {name: np.concatenate(rows) for name, rows in found.items()}

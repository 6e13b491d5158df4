"""A torch model with its tokenizer and lineage, as a value; to and from model directories."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import transformers

import limbeck
from limbeck import huggingface, text
from limbeck.errors import ModelError
from limbeck.forge import heads
from limbeck.huggingface.sentence import read_modules
from limbeck.spec import Pooling, Problem, Task

if TYPE_CHECKING:
    from limbeck.forge.rows import Rows
    from limbeck.forge.training import TrainingReport

# Files that make a tokenizer, beside tokenizer.json; copied along so that transformers can load it.
TOKENIZER_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocabulary.json",  # which ids a trimmed vocabulary kept
)


# transformers' names for them.
_PROBLEM_TYPES: dict[Problem, str] = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
_CLASSES: dict[Task, Any] = {
    "text-classification": transformers.AutoModelForSequenceClassification,
    "token-classification": transformers.AutoModelForTokenClassification,
    "question-answering": transformers.AutoModelForQuestionAnswering,
    "sentence-embedding": transformers.AutoModel,
}
TRAINED_TASKS: tuple[Task, ...] = tuple(_CLASSES)


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A torch model for one of the forge's tasks and what belongs to it.

    `labels` are empty for sentence embedding. `source` is the directory that the tokenizer's files
    come from, `max_tokens` where texts are cut in training and in the artifact, `lineage` what it
    was made from.
    """

    model: Any
    source: Path
    tokenizer: text.Tokenizer
    labels: tuple[str, ...]
    max_tokens: int
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over architecture, names and values of the weights: what its logits come from."""
        config = self.model.config
        hasher = hashlib.sha256()
        shape = (config.model_type, config.num_hidden_layers, config.hidden_size)
        hasher.update(repr((*shape, self.max_tokens, self.labels)).encode())
        if self.task == "sentence-embedding":
            hasher.update(repr(heads.pooling_of(self.model)).encode())
        for name, value in sorted(self.model.state_dict().items()):
            array = value.detach().contiguous().cpu().numpy()
            hasher.update(f"{name} {array.dtype} {array.shape}".encode())
            hasher.update(array.data)
        return hasher.hexdigest()

    @property
    def task(self) -> Task:
        """What it answers."""
        return heads.task_of(self.model)

    @property
    def problem(self) -> Problem:
        """What its logits are: of one label, of several, or a number."""
        if self.task != "text-classification":
            return "regression" if self.task == "sentence-embedding" else "single_label"
        named = self.model.config.problem_type
        for problem, name in _PROBLEM_TYPES.items():
            if named == name:
                return problem
        return "regression" if len(self.labels) == 1 else "single_label"

    @property
    def parameters(self) -> int:
        return sum(int(p.numel()) for p in self.model.parameters())

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights as torch holds them."""
        return sum(int(p.numel()) * p.element_size() for p in self.model.parameters())

    def save(self, directory: str | Path) -> Path:
        """Write a Hugging Face directory that transformers and limbeck both load; for sentence
        embedding one of sentence-transformers."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with quiet():
            self.model.save_pretrained(directory)
        copy_tokenizer(self.source, directory, self.max_tokens)
        if self.task == "sentence-embedding":
            _write_modules(directory, self.model, self.max_tokens)
        lineage = json.dumps(dict(self.lineage), indent=2, sort_keys=True)
        (directory / "lineage.json").write_text(lineage + "\n", encoding="utf-8")
        return directory


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher(Checkpoint):
    """A fine-tuned model that others learn from."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Student(Checkpoint):
    """A smaller model, initialised from a teacher's layers or trained on its logits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pruned(Checkpoint):
    """A model whose encoder has blocks of zeros in its linear layers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantized(Checkpoint):
    """A model trained under int8's rounding: float32 weights that lose little when rounded."""


def versions() -> dict[str, str]:
    """What made it, for the lineage."""
    return {
        "limbeck": limbeck.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


_Made = TypeVar("_Made", bound=Checkpoint)


def trained(
    model: _Made, step: str, rows: Rows, config: Any, report: TrainingReport, **more: object
) -> _Made:
    """The value after a training step, ready to answer, with the step in its lineage.

    The digest is cached per value, and the weights have changed: it is a new one.

    Args:
        config: the step's, a dataclass. more: what else the lineage says about the step.
    """
    model.model.eval()
    lineage: dict[str, Any] = {
        **model.lineage,
        "step": step,
        **more,
        "data": rows.digest,
        "rows": len(rows),
        "config": asdict(config),
        "steps": report.steps,
        "precision": report.precision,
        "versions": versions(),
    }
    return replace(model, lineage=lineage)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing its own progress bars and load reports over ours."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_for_training(
    name_or_path: str | Path,
    labels: Sequence[str],
    *,
    seed: int,
    dropout: float | None = None,
    problem: Problem = "single_label",
    task: Task = "text-classification",
) -> tuple[Any, Path]:
    """An encoder with a fresh head for these labels, and the directory it came from.

    For sentence embedding there is no head: vectors are pooled as a sentence-transformers directory
    says, and as their mean elsewhere.

    Raises:
        ModelError: no such model, an architecture that limbeck cannot run, or weights that
            transformers cannot load.
    """
    directory = huggingface.resolve(str(name_or_path))
    with as_safetensors(directory) as loadable:
        modules = read_modules(loadable)
        folder = loadable if modules is None else modules.encoder
        options: dict[str, Any] = {}
        if task != "sentence-embedding":
            options = {
                "num_labels": len(labels),
                "id2label": dict(enumerate(labels)),
                "label2id": {name: index for index, name in enumerate(labels)},
                "ignore_mismatched_sizes": True,
            }
        if task == "text-classification":
            options["problem_type"] = _PROBLEM_TYPES[problem]
        if dropout is not None:
            options |= _dropout_options(folder, dropout)
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _from_pretrained(folder, task, options)
        if task == "sentence-embedding":
            pooling: tuple[Pooling, ...] = ("mean",) if modules is None else modules.pooling
            heads.set_pooling(model, pooling, modules is not None and modules.normalize)
        source = directory / folder.relative_to(loadable)
    return model, source


def load(name_or_path: str | Path, task: Task | None = None) -> Checkpoint:
    """A model that has been trained before, head and all.

    Args:
        task: None: the one that it was trained for. A plain encoder asked for "sentence-embedding"
            gives the mean of its states.

    Raises:
        ModelError: it cannot be loaded, or it has no trained head.
    """
    directory = huggingface.resolve(str(name_or_path))
    with as_safetensors(directory) as loadable:
        read = huggingface.read(loadable, task=task)
        if read.spec.task.task not in _CLASSES:
            raise ModelError(
                f"{name_or_path} is a plain encoder without a trained head: fine-tune it for a "
                "task first, or ask for task 'sentence-embedding', the mean of its states"
            )
        found = read.spec.task
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # for parts that the directory lacks because nothing reads them
            model = _from_pretrained(read.directory, found.task, {})
        if found.task == "sentence-embedding":
            heads.set_pooling(model, found.pooling, found.normalize)
        source = directory / read.directory.relative_to(loadable)
    model.eval()
    lineage_file = directory / "lineage.json"
    lineage = json.loads(lineage_file.read_text("utf-8")) if lineage_file.is_file() else {}
    return Checkpoint(
        model=model,
        source=source,
        tokenizer=text.Tokenizer.from_directory(source),
        labels=found.labels,
        max_tokens=text.resolve_max_tokens(source, read.spec.encoder.max_tokens),
        lineage=lineage,
    )


def _from_pretrained(directory: Path, task: Task, options: Mapping[str, Any]) -> Any:
    # On short rows the backward pass of torch's fused attention takes as long as all the rest of a
    # step on a CPU; three plain matrix products take a tenth of that (docs/decisions/0006).
    options = {"attn_implementation": "eager", **options}
    try:
        return _CLASSES[task].from_pretrained(directory, dtype=torch.float32, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"transformers cannot load {directory}: {error}") from error


def _dropout_options(directory: Path, dropout: float) -> dict[str, Any]:
    """Every dropout of the architecture, whether or not its config.json speaks of it."""
    config = json.loads((directory / "config.json").read_text("utf-8"))
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
    if config.get("model_type") == "distilbert":
        names = ("dropout", "attention_dropout", "seq_classif_dropout")
    return dict.fromkeys(names, dropout)


@contextmanager
def as_safetensors(directory: Path) -> Iterator[Path]:
    """The directory itself, or, where it has only pytorch_model.bin, a temporary copy without
    pickle for as long as the block runs."""
    has_safetensors = any(directory.glob("*.safetensors"))
    if has_safetensors or not any(directory.glob("pytorch_model*.bin")):
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="limbeck-") as temporary:
        target = Path(temporary) / directory.name
        convert_pickle(directory, target)
        yield target


def convert_pickle(directory: Path, target: Path) -> None:
    """Copy a model directory, its pytorch_model*.bin turned into model.safetensors.

    The pickle is read by torch's weights-only reader, which builds tensors and runs no code.

    Raises:
        ModelError: the pickle holds something other than named tensors.
    """
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(directory.glob("pytorch_model*.bin")):
        try:
            loaded = torch.load(shard, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for damaged and for unsafe pickles
            raise ModelError(
                f"{shard} cannot be read as weights only ({type(error).__name__}: {error}); "
                "it is damaged, or holds code, which limbeck never runs"
            ) from error
        if not isinstance(loaded, dict) or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in loaded.items()
        ):
            raise ModelError(f"{shard} does not hold a table of named tensors")
        # tied weights share memory, which safetensors refuses: give each its own copy
        tensors.update({name: value.clone().contiguous() for name, value in loaded.items()})
    shutil.copytree(
        directory, target, ignore=shutil.ignore_patterns("*.bin", "*.bin.index.json", ".git")
    )
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def copy_tokenizer(source: Path, target: Path, max_tokens: int) -> None:
    """Write the tokenizer's files so that every reader cuts at `max_tokens` and pads nothing."""
    tokenizer = json.loads(text.read_tokenizer_json(source))
    tokenizer["padding"] = None
    if (tokenizer.get("truncation") or {}).get("direction") != "Left":
        tokenizer["truncation"] = None  # what is left of it, the side, is the default one
    data = json.dumps(tokenizer, ensure_ascii=False)
    (target / "tokenizer.json").write_text(data, encoding="utf-8")
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != target.resolve():
            shutil.copyfile(source / name, target / name)
    settings_file = source / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text("utf-8")) if settings_file.is_file() else {}
    settings["model_max_length"] = max_tokens
    settings.pop("name_or_path", None)  # a path on the machine that saved it
    data = json.dumps(settings, indent=2, ensure_ascii=False)
    (target / "tokenizer_config.json").write_text(data + "\n", encoding="utf-8")


def _write_modules(directory: Path, model: Any, max_tokens: int) -> None:
    """What sentence-transformers wants beside an encoder: which modules follow it."""
    pooling, normalize = heads.pooling_of(model)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{kind}" if index else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]
    # the names of sentence-transformers' flags
    flags = {
        "pooling_mode_cls_token": "cls" in pooling,
        "pooling_mode_mean_tokens": "mean" in pooling,
        "pooling_mode_max_tokens": "max" in pooling,
    }
    width = {"word_embedding_dimension": int(model.config.hidden_size)}
    lengths = {"max_seq_length": max_tokens, "do_lower_case": False}
    for name, content in (
        ("modules.json", modules),
        ("1_Pooling/config.json", width | flags),
        ("sentence_bert_config.json", lengths),
    ):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

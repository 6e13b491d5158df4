"""A Hugging Face directory -> ONNX files for the peer: plain, fused fp32, fused dynamic int8.

The peer is measured at its best: `onnxruntime.transformers.optimizer` fuses attention, layer norms
and GELU, and the fused graph is what gets quantised. A graph in which the fusion did not happen is
refused, for it would make a weak peer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import MissingExtraError, ModelError

_OPSET = 17
_PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")
# The operator that the optimizer must make of each activation; ReLU has no fused form.
_FUSED_ACTIVATION = {
    "gelu": "BiasGelu",
    "gelu_new": "FastGelu",
    "gelu_pytorch_tanh": "FastGelu",
    "relu": None,
}
_FORMAT = 2  # raise it when what this file writes changes


@dataclass(frozen=True, kw_only=True)
class OnnxPaths:
    """Where the graphs lie. Inputs: input_ids, attention_mask, [token_type_ids], all [B, S] int64.

    Outputs: `hidden` [B, S, C], and `logits` ([B, L] or [B, S, L]) where the model has a head.
    `fused` counts the fused operators by name.
    """

    plain: Path
    fp32: Path
    int8: Path
    fused: Mapping[str, int]


def _fingerprint(directory: Path) -> str:
    from limbeck.measure import versions

    digest = hashlib.sha256(json.dumps([_FORMAT, versions(_PACKAGES)]).encode())
    files = sorted([directory / "config.json", *directory.glob("*.safetensors")])
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def load(directory: Path) -> Any:
    """The torch model of the class that the directory names, in eager attention, fp32."""
    import torch
    import transformers

    config: Any = transformers.AutoConfig.from_pretrained(directory)
    architectures = config.architectures or []
    cls: Any = getattr(transformers, architectures[0], None) if architectures else None
    if cls is None:
        raise ModelError(f"{directory}: config.json names no architecture that transformers has")
    model = cls.from_pretrained(
        directory, attn_implementation="eager", dtype=torch.float32, local_files_only=True
    )
    return model.eval()


def trace(model: Any, path: Path, *, opset: int = _OPSET) -> tuple[str, ...]:
    """Write the plain graph with dynamic batch and length; return the names of its inputs."""
    import torch

    typed = bool(getattr(model.config, "type_vocab_size", 0)) and (
        model.config.model_type != "distilbert"
    )
    inputs = ("input_ids", "attention_mask", *(("token_type_ids",) if typed else ()))

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            named = dict(zip(inputs, values, strict=True))
            answer = self.model(**named, output_hidden_states=True, return_dict=True)
            hidden = answer.hidden_states[-1]
            return (answer.logits, hidden) if hasattr(answer, "logits") else (hidden,)

    headed = hasattr(model, "classifier")
    outputs = ("logits", "hidden") if headed else ("hidden",)
    per_token = "TokenClassification" in type(model).__name__
    both = {0: "batch", 1: "length"}
    axes: dict[str, dict[int, str]] = dict.fromkeys((*inputs, "hidden"), both)
    axes["logits"] = both if per_token else {0: "batch"}
    # Any values will do, but more than one of each: a size of 1 would be traced as fixed.
    ids = torch.randint(5, model.config.vocab_size, (2, 16))
    values = (ids, torch.ones_like(ids), torch.zeros_like(ids))[: len(inputs)]
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that traces is deprecated, but its graphs are those the optimizer knows.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Graph().eval(),
            values,
            str(path),
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=opset,
            dynamic_axes={name: axes[name] for name in (*inputs, *outputs)},
        )
    return inputs


def _activation(config: Any) -> str:
    name = config.activation if config.model_type == "distilbert" else config.hidden_act
    if name not in _FUSED_ACTIVATION:
        raise ModelError(
            f"activation {name!r} is not one that is compared: {', '.join(_FUSED_ACTIVATION)}"
        )
    return str(name)


def _fuse(plain: Path, path: Path, model: Any) -> dict[str, int]:
    from onnxruntime.transformers import optimizer

    config = model.config
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    optimized = optimizer.optimize_model(
        str(plain), model_type="bert", num_heads=heads, hidden_size=config.hidden_size, opt_level=0
    )
    counts = {
        name: int(count)
        for name, count in optimized.get_fused_operator_statistics().items()
        if count
    }
    # One skip-norm closes each half of a layer; the first layer's input may come from an
    # embedding norm that the optimizer leaves as a plain one (RoBERTa).
    wanted = {"Attention": layers, "SkipLayerNormalization": 2 * layers}
    if (gelu := _FUSED_ACTIVATION[_activation(config)]) is not None:
        wanted[gelu] = layers
    missing = {name: n for name, n in wanted.items() if counts.get(name, 0) < n}
    if missing:
        raise ModelError(
            f"ONNX Runtime's optimizer did not fuse the graph of {type(model).__name__}: "
            f"wanted {missing}, found {counts}; such a graph would make a weak peer"
        )
    optimized.save_model_to_file(str(path))
    return counts


def _quantize(fused: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(fused),
        str(path),
        weight_type=QuantType.QInt8,
        per_channel=True,
        # Fused operators have no type information; this says that what they yield is float32.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def export(hf_dir: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> OnnxPaths:
    """Export, fuse and quantise the model in `hf_dir` into `out_dir`; reuse what is up to date.

    Raises:
        MissingExtraError: torch, transformers, onnx or onnxruntime is not installed.
        ModelError: the directory holds no model that transformers can load, or its graph did not
            fuse.
    """
    for package in _PACKAGES:
        try:
            __import__(package)
        except ImportError:
            extra = "forge" if package in ("torch", "transformers") else "bench"
            raise MissingExtraError(package, extra) from None
    source, target = Path(hf_dir), Path(out_dir)
    if not (source / "config.json").is_file():
        raise ModelError(f"{source} holds no config.json: not a Hugging Face model directory")
    fingerprint = _fingerprint(source)
    record = target / "export.json"
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["fingerprint"] == fingerprint:
            return _paths(target, known["fused"])
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        model = load(source)
        made = _paths(work, {})
        trace(model, made.plain)
        counts = _fuse(made.plain, made.fp32, model)
        _quantize(made.fp32, made.int8)
        facts = {"fingerprint": fingerprint, "fused": counts, "vocab": model.config.vocab_size}
        text = json.dumps(facts, indent=1)
        (work / "export.json").write_text(text, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _paths(target, counts)


def _paths(directory: Path, fused: Mapping[str, int]) -> OnnxPaths:
    return OnnxPaths(
        plain=directory / "plain.onnx",
        fp32=directory / "fp32.onnx",
        int8=directory / "int8.onnx",
        fused=fused,
    )

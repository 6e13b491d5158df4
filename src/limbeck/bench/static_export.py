"""A Hugging Face directory -> the ONNX file that DeepSparse runs fast: int8 with static scales.

DeepSparse 1.8 wants opset 14 of the default domain alone, IR version 8, and linear layers as
QuantizeLinear -> MatMulInteger -> Cast -> Mul; QuantizeLinear -> DequantizeLinear it runs slowly.
Scales of activations come from running the plain graph on calibration ids.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.bench import onnx_export
from limbeck.bench.calibration import calibration_ids
from limbeck.bench.padding import pad
from limbeck.bench.runners.keeping import kept
from limbeck.errors import MissingExtraError
from limbeck.measure import versions

F32 = npt.NDArray[np.float32]

_OPSET = 14
_IR_VERSION = 8
_FORMAT = "2"  # raise it when what this file writes changes
_PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")


def _linear(graph: Any) -> Iterator[tuple[int, Any, F32]]:
    """(place, node, weight [K, N]) of every MatMul with a constant matrix."""
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    for place, node in enumerate(graph.node):
        if node.op_type == "MatMul" and node.input[1] in constants:
            yield place, node, numpy_helper.to_array(constants[node.input[1]])


def _ranges(model: Any, vocab: int) -> dict[str, tuple[float, float]]:
    """Input of a linear layer -> least and largest value over the calibration ids."""
    import onnx
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = sorted({node.input[0] for _, node, _ in _linear(model.graph)})
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = dict.fromkeys(names, (0.0, 0.0))  # zero always has a place, so that it is exact
    for ids in calibration_ids(vocab):
        feeds = dict(zip(("input_ids", "attention_mask"), pad(ids), strict=True))
        for name, values in zip(names, session.run(names, feeds), strict=True):
            low, high = found[name]
            found[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return found


def quantize(model: Any, vocab: int) -> None:
    """Make every linear layer of an ONNX model int8, in place.

    u8 asymmetric activations, one scale a tensor; s8 symmetric weights, one scale an output.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    ranges = _ranges(model, vocab)

    def constant(name: str, values: Any) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    inserted: dict[int, list[Any]] = {}
    quantized: set[str] = set()
    replaced = set()
    zero = constant("weights.zero", np.int8(0))
    for place, node, weight in list(_linear(graph)):
        source, target = node.input[0], node.output[0]
        low, high = ranges[source]
        scale = np.float32(max(high - low, 1e-12) / 255)
        values, point = f"{source}.u8", f"{source}.zero"
        new = []
        if source not in quantized:
            quantized.add(source)
            constant(f"{source}.scale", scale)
            constant(point, np.uint8(np.clip(np.rint(-low / scale), 0, 255)))
            names = [source, f"{source}.scale", point]
            new.append(helper.make_node("QuantizeLinear", names, [values]))
        row_scale = np.maximum(np.abs(weight).max(axis=0), 1e-12).astype(np.float32) / 127
        rounded = np.rint(weight / row_scale).astype(np.int8)
        matrix = constant(f"{target}.weight", rounded)
        factor = constant(f"{target}.factor", (row_scale * scale).astype(np.float32))
        sums, floats = f"{target}.s32", f"{target}.f32"
        new.append(helper.make_node("MatMulInteger", [values, matrix, point, zero], [sums]))
        new.append(helper.make_node("Cast", [sums], [floats], to=TensorProto.FLOAT))
        new.append(helper.make_node("Mul", [floats, factor], [target]))
        inserted[place] = new
        replaced.add(node.input[1])
    nodes = [new for place, old in enumerate(graph.node) for new in inserted.get(place, [old])]
    constants = [each for each in graph.initializer if each.name not in replaced]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


def export(hf_dir: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> Path:
    """The graph of the model in `hf_dir`, written into `out_dir` unless it is there already.

    Inputs and outputs are those of `onnx_export`; batch and length are left open, for DeepSparse
    takes them when it compiles.

    Raises:
        MissingExtraError: torch, transformers, onnx or onnxruntime is not installed.
        ModelError: the directory holds no model that transformers can load.
    """
    for package in _PACKAGES:
        try:
            __import__(package)
        except ImportError:
            extra = "forge" if package in ("torch", "transformers") else "bench"
            raise MissingExtraError(package, extra) from None
    import onnx

    def make(directory: Path) -> None:
        model = onnx_export.load(Path(hf_dir))
        file = directory / "static.onnx"
        onnx_export.trace(model, file, opset=_OPSET)
        graph = onnx.load(file)
        quantize(graph, model.config.vocab_size)
        graph.ir_version = _IR_VERSION
        onnx.checker.check_model(graph)
        onnx.save(graph, file)

    facts = {**versions(_PACKAGES), "format": _FORMAT}
    return kept(Path(out_dir), Path(hf_dir), facts, make) / "static.onnx"

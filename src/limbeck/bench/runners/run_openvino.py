"""OpenVINO on a graph that NNCF, its own tool, has quantised: static int8, per-channel weights."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.bench.calibration import calibration_ids
from limbeck.bench.contestants import Contestant
from limbeck.bench.padding import pad, unpad
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.bench.runners.keeping import kept
from limbeck.measure import versions

_FORMAT = "2"  # raise it when what _quantize writes changes


def _quantize(plain: Path, vocab: int, directory: Path) -> None:
    import nncf
    import openvino

    def feeds(ids: list[list[int]]) -> dict[str, Any]:
        return dict(zip(("input_ids", "attention_mask"), pad(ids), strict=True))

    calibration = nncf.Dataset([feeds(ids) for ids in calibration_ids(vocab)])
    model = nncf.quantize(
        openvino.Core().read_model(plain),
        calibration,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(calibration_ids(vocab)),
    )
    openvino.save_model(model, directory / "int8.xml", compress_to_fp16=False)


class _OpenVino:
    """Graphs are compiled for a shape where it comes again, and for any shape once.

    A compiled graph lives as long as prepared work that needs it.
    """

    def __init__(self, plain: Path, work: Path, hint: str, threads: int) -> None:
        import openvino

        self._core = openvino.Core()
        vocab = json.loads((plain.parent / "export.json").read_text("utf-8"))["vocab"]
        made = kept(
            work / "openvino-int8",
            plain,
            {**self.facts(), "format": _FORMAT},
            lambda directory: _quantize(plain, vocab, directory),
        )
        self._file = made / "int8.xml"
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        self._compiled: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()

    def _request(self, output: Output, shape: tuple[int, int] | None) -> Any:
        request = self._compiled.get((output, shape))
        if request is None:
            model = self._core.read_model(self._file)
            for port in model.outputs:
                if output not in port.get_names():
                    model.remove_result(port.get_node())
            if shape is not None:
                model.reshape(dict.fromkeys((port.any_name for port in model.inputs), shape))
            compiled = self._core.compile_model(model, "CPU", self._settings)
            request = compiled.create_infer_request()
            self._compiled[output, shape] = request
        return request

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        padded, mask = pad(ids, length=pad_to)
        request = self._request(output, padded.shape if static else None)
        feeds = {"input_ids": padded, "attention_mask": mask}

        def call() -> Any:
            # Inputs are used in place and the answer is a view: no copy is timed.
            return request.infer(feeds, share_inputs=True, share_outputs=True)[0]

        return call

    def answer(self, ids: Rows, output: Output) -> F32:
        values: Any = self.prepare(ids, output)()
        return unpad(np.array(values, dtype=np.float32), ids)

    def facts(self) -> dict[str, str]:
        return versions(["openvino", "nncf"])


def load(contestant: Contestant, source: Path, work: Path | None, threads: int) -> _OpenVino:
    assert work is not None
    return _OpenVino(source, work, contestant.note.removesuffix("-hint"), threads)

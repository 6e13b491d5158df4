"""The engine of our own as a Model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch, pack
from limbeck.engine import Engine, Profile
from limbeck.errors import InputError
from limbeck.runtimes.model import Output
from limbeck.runtimes.source import Source
from limbeck.spec import ComputePrecision, ModelSpec
from limbeck.text import Tokenizer


class OwnModel:
    """A Model that runs on limbeck's engine. See `limbeck.load`."""

    def __init__(
        self,
        source: Source,
        *,
        precision: ComputePrecision,
        threads: int | None,
        instances: int = 1,
    ) -> None:
        """Pack the weights of `source`, which can be dropped afterwards.

        Raises:
            ModelError: weights that do not match the spec, or that cannot be quantised.
            EngineError: no native library, or it refuses the model.
            InputError: a number of threads or instances that makes no sense.
        """
        self._engine = Engine(
            source.spec,
            source.weights,
            precision=precision,
            threads=threads,
            instances=instances,
        )
        source.release()
        self._directory = source.directory
        # Not `source` itself, which would keep the unpacked weights alive.
        self._read_digest = source.digest
        self._read_tokenizer_json = source.tokenizer_json
        self._tokenizer: Tokenizer | None = None
        self._lock = threading.Lock()

    @property
    def spec(self) -> ModelSpec:
        return self._engine.spec

    @property
    def source(self) -> Path:
        return self._directory

    @cached_property
    def digest(self) -> str:
        return self._read_digest()

    def tokenizer(self) -> Tokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = Tokenizer.from_bytes(self._read_tokenizer_json())
            return self._tokenizer

    def forward(
        self,
        ids: Sequence[Sequence[int]] | PackedBatch,
        type_ids: Sequence[Sequence[int]] | None = None,
        *,
        output: Output = "logits",
        alone: bool = False,
    ) -> npt.NDArray[np.float32]:
        return self._engine.forward(_packed(ids, type_ids), output, alone=alone)

    def profile(
        self,
        ids: Sequence[Sequence[int]] | PackedBatch,
        type_ids: Sequence[Sequence[int]] | None = None,
        *,
        output: Output | None = None,
    ) -> Profile:
        """Where the time of one pass goes. output None: logits where there is a head, else hidden.

        Raises:
            InputError: as for `forward`.
        """
        if output is None:
            output = "hidden" if self.spec.task.head is None else "logits"
        return self._engine.profile(_packed(ids, type_ids), output)

    def describe(self) -> dict[str, Any]:
        encoder, task = self.spec.encoder, self.spec.task
        return {
            "source": str(self.source),
            "digest": self.digest,
            "runtime": "limbeck",
            "device": "cpu",
            "architecture": encoder.architecture,
            "task": task.task,
            "max_tokens": task.max_tokens,
        } | self._engine.describe()


def _packed(
    ids: Sequence[Sequence[int]] | PackedBatch, type_ids: Sequence[Sequence[int]] | None
) -> PackedBatch:
    if not isinstance(ids, PackedBatch):
        return pack(ids, type_ids)
    if type_ids is not None:
        raise InputError("a PackedBatch carries its own type ids; pass type_ids=None")
    return ids

"""Keys: which answers are the same answer.

An answer depends on the model, on how it computes, on the options and on the text. The text itself
counts, not its token ids: entities and answers speak of its characters, and two texts with the same
ids can differ in those. Names and versions of models do not count: what has the same digest and
computes in the same way gives the same answers.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from limbeck.errors import InputError
from limbeck.pipeline import Pipeline

# 160 bits: nobody finds two texts with one key, even on purpose.
KEY_BYTES: Final = 20
_TENANT_BYTES = 16
# What changes speed, never an answer; see `limbeck.pipeline.base.Options`.
_WITHOUT_EFFECT = ("batch_size", "max_batch_tokens", "padding")
# Sets of options whose keys are kept begun; whoever sends more of them pays some microseconds.
_KEPT = 256

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> bytes:
    """One spelling for each JSON-like value, whatever the order of its names.

    Raises:
        InputError: it holds something that JSON has no word for.
    """
    try:
        return _ENCODER.encode(value).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"an option or input is no JSON value: {error}") from None


class RowKeys:
    """Keys of rows of one model under one set of options, for one tenant or for all."""

    __slots__ = ("_begun", "_suffix")

    def __init__(self, scope: bytes, tenant: str = "") -> None:
        self._begun = hashlib.blake2b(digest_size=KEY_BYTES)
        self._begun.update(len(scope).to_bytes(8, "little"))
        self._begun.update(scope)
        self._suffix = b""
        if tenant:
            name = tenant.encode("utf-8", "surrogatepass")
            self._suffix = hashlib.blake2b(name, digest_size=_TENANT_BYTES).digest()

    def __call__(self, row: Any) -> bytes:
        """The key of one input, as the pipeline takes it: `KEY_BYTES` bytes, and those of the
        tenant behind them.

        Raises:
            InputError: an input that is no JSON value.
        """
        digest = self._begun.copy()
        if isinstance(row, str):
            digest.update(b"text")
            digest.update(row.encode("utf-8", "surrogatepass"))
        else:
            digest.update(b"json")
            digest.update(canonical(dict(row) if isinstance(row, Mapping) else row))
        return digest.digest() + self._suffix


class Keys:
    """Makes the keys of one loaded model. One for each `Hosted`.

    runtime, device: what computes, for two runtimes do not give the same bits.
    """

    def __init__(
        self, pipeline: Pipeline[Any], *, runtime: str = "limbeck", device: str = "cpu"
    ) -> None:
        self._pipeline = pipeline
        model = pipeline.model
        self.computed: Mapping[str, Any] = {
            "digest": model.digest,
            "task": asdict(model.spec.task),
            "quant": asdict(model.spec.quant),
            "runtime": runtime,
            "device": device,
        }
        self._model = canonical(self.computed)
        self._kept: OrderedDict[tuple[bytes, str], RowKeys] = OrderedDict()

    def options(self, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All options that an answer depends on: the pipeline's own, with changes.

        Raises:
            InputError: an unknown option or a value that it cannot have.
        """
        pipeline = self._pipeline
        chosen = asdict(pipeline.options.updated(options or {}, pipeline.task))
        return {name: value for name, value in chosen.items() if name not in _WITHOUT_EFFECT}

    def scope(self, options: Mapping[str, Any] | None = None) -> bytes:
        """Model, way of computing and options, as they go into each key."""
        return self._model + b"\n" + canonical(self.options(options))

    def under(self, options: Mapping[str, Any] | None = None, *, tenant: str = "") -> RowKeys:
        """Makes keys of rows under options. tenant: "" where answers are shared by all.

        Raises:
            InputError: an unknown option or a value that it cannot have.
        """
        asked = canonical(dict(options)) if options else b""
        place = asked, tenant
        found = self._kept.get(place)
        if found is None:
            found = self._kept[place] = RowKeys(self.scope(options), tenant)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

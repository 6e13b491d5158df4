"""A loaded model: packed batches in, float32 arrays out."""

from __future__ import annotations

import ctypes
import json
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine import library, tuning
from limbeck.engine.profile import Profile, Span
from limbeck.engine.quantization import convert_weights
from limbeck.engine.reference import Output
from limbeck.engine.tuning import SparseCosts
from limbeck.errors import EngineError, InputError, ModelError
from limbeck.spec import ComputePrecision, ModelSpec, Precision, QuantSpec
from limbeck.tensors import Tensor, Weights, expected_tensors

F32 = npt.NDArray[np.float32]

# More would only fight over the same cores; it also catches a thread count that is a typing error.
_MAX_THREADS = 1024
# The library runs these three as one matrix, "qkv".
_FUSED = ("query", "key", "value")
_DENSE_FLOATS = "runs dense: the sparse kernels are int8"
_NO_BF16 = "asked for bf16, which needs AVX512-BF16: computes in fp32"
_DENSE_FASTER = "runs dense: by the measured table, its blocks would not be faster"


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """How a tensor came, before any conversion; kept so that the tensor itself can go."""

    dtype: str
    size_bytes: int
    block: tuple[int, int] | None
    sparsity: float

    @classmethod
    def of(cls, tensor: Tensor) -> _Stored:
        return cls(
            dtype="int8" if tensor.is_int8 else "fp32",
            size_bytes=tensor.size_bytes,
            block=tensor.block,
            sparsity=tensor.sparsity,
        )


class Engine:
    """Runs one model. Pure: the same sequence gets the same bits, whatever shares its batch and
    however many threads run; in int8 on every instruction set as well.

    `forward` may be called from many threads at once, and in a process forked after loading: the
    child shares the packed weights and starts threads of its own at its first call.
    """

    def __init__(
        self,
        spec: ModelSpec,
        weights: Weights,
        *,
        precision: ComputePrecision,
        threads: int | None = None,
        instances: int = 1,
        isa: str | None = None,
        costs: SparseCosts | None = None,
    ) -> None:
        """Pack the weights for this CPU.

        Args:
            spec: the model; `spec.quant` says how the weights are stored.
            weights: named tensors, converted where `precision` asks for it. All but the word
                embeddings are copied.
            precision: how the encoder's linear layers compute. "bf16" becomes "fp32", and
                `describe` says so, where the CPU or `isa` has no bf16 dot products.
            threads: of each instance; None: the CPUs that this process may use, shared out.
            instances: calls of `forward` that run side by side, on the same packed weights.
            isa: a name from `limbeck.engine.isas()`; None for $LIMBECK_ISA, else the best.
            costs: decide which int8 layers run by blocks; None for what `limbeck tune` measured
                on this CPU, else the library's own table.

        Raises:
            InputError: a precision or a number of threads or instances that makes no sense.
            ModelError: weights that do not match the spec, or that cannot be quantised.
            EngineError: no native library, no such ISA, or the library refuses the model, for
                example because a weight is not finite.
        """
        if precision not in get_args(ComputePrecision):
            raise InputError(
                f"precision {precision!r} is not supported; "
                f"supported: {', '.join(get_args(ComputePrecision))}"
            )
        lib = library.load()
        self.isa = library.choose_isa(isa)
        self.instances = _check_count("instances", instances)
        self.threads = _threads(threads, self.instances)
        self._note = None
        if precision == "bf16" and not library.has_bf16(self.isa):
            precision, self._note = "fp32", _NO_BF16
        self.precision: ComputePrecision = precision
        kept: Precision = "int8" if precision == "int8" else "fp32"
        # Static ranges are for int8; computing in floats, nothing is rounded and they are left out.
        ranges = spec.quant.activations if kept == "int8" else "dynamic"
        self.spec = replace(spec, quant=QuantSpec(precision=kept, activations=ranges))
        _check_weights(self.spec, weights)
        self._stored = {name: _Stored.of(tensor) for name, tensor in weights.items()}
        self._stored_bytes = sum(tensor.size_bytes for tensor in weights.values())
        converted = convert_weights(weights, spec.encoder, kept)
        # The library reads this one in place.
        word_embeddings = np.ascontiguousarray(converted["embeddings.word"].stored())
        costs = tuning.saved(self.isa) if costs is None else costs
        handle = self._create(lib, converted, word_embeddings, costs)
        self._handle = handle
        # What the native model reads in place must outlive it, hence the argument.
        weakref.finalize(self, _destroy, lib, handle, word_embeddings)

    def _create(
        self,
        lib: ctypes.CDLL,
        weights: Weights,
        word_embeddings: npt.NDArray[Any],
        costs: SparseCosts | None,
    ) -> int:
        encoder, head, labels = self.spec.encoder, self.spec.task.head, len(self.spec.task.labels)
        native_spec = library.ModelSpecStruct(
            abi_version=library.ABI_VERSION,
            precision=library.PRECISIONS[self.precision],
            layers=encoder.layers,
            hidden=encoder.hidden,
            heads=encoder.heads,
            ffn=encoder.ffn,
            vocab=encoder.vocab,
            positions=encoder.positions,
            types=encoder.types,
            activation=library.ACTIVATIONS[encoder.activation],
            position_mode=library.POSITION_MODES[encoder.position_mode],
            pad_id=encoder.pad_id,
            head_kind=library.HEAD_KINDS[None if head is None else head.kind],
            head_dense=-1
            if head is None or head.dense is None
            else library.ACTIVATIONS[head.dense],
            labels=0 if head is None else labels,
            norm_eps=encoder.norm_eps,
            sparse_costs=(0.0,) * 6 if costs is None else costs.values(),
            activations=library.ACTIVATION_RANGES[self.spec.quant.activations],
        )
        rows = list(expected_tensors(encoder, head, labels, self.spec.quant.activations))
        structs = (library.TensorStruct * len(rows))()
        alive: list[npt.NDArray[Any]] = []  # until the library has copied them
        for struct, (name, shape, _) in zip(structs, rows):
            tensor = weights[name]
            values = (
                word_embeddings
                if name == "embeddings.word"
                else np.ascontiguousarray(tensor.stored())
            )
            alive.append(values)
            struct.name = name.encode()
            struct.dtype = library.DTYPE_S8 if tensor.is_int8 else library.DTYPE_F32
            struct.rank = len(shape)
            struct.shape[: len(shape)] = shape
            struct.data = values.ctypes.data
            if tensor.scale is not None:
                scale = np.ascontiguousarray(tensor.scale, dtype=np.float32)
                alive.append(scale)
                struct.scale = scale.ctypes.data
        handle = ctypes.c_void_p()
        error = library.ErrorText()
        failed = lib.limbeck_model_create(
            ctypes.byref(native_spec),
            structs,
            len(rows),
            self.isa.encode(),
            self.threads,
            self.instances,
            ctypes.byref(handle),
            error.buffer,
            error.size,
        )
        if failed or handle.value is None:
            raise EngineError(f"the native engine refused the model: {error}")
        return handle.value

    def forward(self, batch: PackedBatch, output: Output = "logits", *, alone: bool = False) -> F32:
        """One pass over a packed batch; an empty batch gives an empty array.

        Args:
            alone: no other pass runs meanwhile, so this one may have the threads of all instances.
                Where that is wrong all answers are right, and late.

        Returns:
            "logits": [B, L] for a sequence head, [T, L] for a token head. "hidden": [T, C], the
            last layer. "mean", "cls", "max": [B, C], pooled over each sequence's tokens.

        Raises:
            InputError: ids, type ids or lengths that the model has no table row for, or an output
                that it does not have.
            EngineError: the native engine failed.
        """
        out = self._output(batch, output)
        if batch.sequences == 0:
            return out
        self._run(library.load().limbeck_model_forward, batch, output, out, alone)
        return out

    def profile(self, batch: PackedBatch, output: Output = "logits") -> Profile:
        """One pass over a batch, with what every thread did; the answer itself is dropped.

        Raises:
            InputError: as for `forward`; an empty batch has nothing to profile.
            EngineError: the native engine failed.
        """
        out = self._output(batch, output)
        if batch.sequences == 0:
            raise InputError("an empty batch has nothing to profile")
        # A second pass, should more room be needed, tells the same.
        room = 4096
        count = ctypes.c_int64(room + 1)
        while count.value > room:
            room = count.value
            structs = (library.SpanStruct * room)()
            run = library.load().limbeck_model_profile
            self._run(run, batch, output, out, structs, room, ctypes.byref(count))
        names = {number: name for name, number in library.OPS.items()}
        first = min(structs[i].begin_ns for i in range(count.value))
        spans = tuple(
            Span(
                op=names[struct.op],
                layer=struct.layer,
                thread=struct.thread,
                begin_ns=struct.begin_ns - first,
                end_ns=struct.end_ns - first,
                operations=struct.operations,
            )
            for struct in structs[: count.value]
        )
        return Profile(spans=spans, threads=self.threads, precision=self.precision, isa=self.isa)

    def _run(
        self, function: Callable[..., int], batch: PackedBatch, output: Output, out: F32, *more: Any
    ) -> None:
        """Call a native pass over a checked batch; `more` are the arguments behind `out`."""
        ids, types, cu_seqlens = self._check_batch(batch)
        error = library.ErrorText()
        failed = function(
            self._handle,
            ids.ctypes.data,
            None if types is None else types.ctypes.data,
            cu_seqlens.ctypes.data,
            batch.sequences,
            library.OUTPUTS[output],
            out.ctypes.data,
            out.size,
            *more,
            error.buffer,
            error.size,
        )
        if failed:
            raise EngineError(f"the native engine failed: {error}")

    def _output(self, batch: PackedBatch, output: Output) -> F32:
        """Room for the answer, once it is clear that the model has one."""
        if output not in library.OUTPUTS:
            raise InputError(f"output {output!r} is not one of {', '.join(library.OUTPUTS)}")
        head = self.spec.task.head
        if output == "logits" and head is None:
            raise InputError(
                "this model has no classification head; ask for output='hidden', 'mean', 'cls' "
                "or 'max'"
            )
        by_token = output == "hidden" or (
            output == "logits" and head is not None and head.kind == "token"
        )
        if batch.sequences < 0:
            raise InputError("cu_seqlens must hold at least one number, the 0 at its start")
        rows = batch.tokens if by_token else batch.sequences
        width = len(self.spec.task.labels) if output == "logits" else self.spec.encoder.hidden
        return np.empty((rows, width), dtype=np.float32)

    def _check_batch(
        self, batch: PackedBatch
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32] | None, npt.NDArray[np.int32]]:
        """The three arrays, contiguous int32, with every value inside the model's tables."""
        encoder = self.spec.encoder
        cu_seqlens = _int32(batch.cu_seqlens, "cu_seqlens")
        lengths = np.diff(cu_seqlens)
        if cu_seqlens[0] != 0 or cu_seqlens[-1] != batch.tokens or int(lengths.min()) < 1:
            raise InputError(
                "cu_seqlens must rise from 0 to the number of tokens, by at least 1 a sequence"
            )
        if int(lengths.max()) > encoder.max_tokens:
            at = int(lengths.argmax())
            raise InputError(
                f"sequence {at} has {int(lengths[at])} tokens; the model's positions carry "
                f"{encoder.max_tokens}: truncate it, or read it in windows"
            )
        ids = _int32(batch.ids, "ids")
        _check_range(ids, encoder.vocab, "token id", cu_seqlens)
        types = None if batch.type_ids is None else _int32(batch.type_ids, "type_ids")
        if types is None or encoder.types == 0:
            # DistilBERT has no token types; transformers drops them too.
            return ids, None, cu_seqlens
        if types.shape != ids.shape:
            raise InputError("type_ids must have one value for each token id")
        _check_range(types, encoder.types, "token type id", cu_seqlens)
        return ids, types, cu_seqlens

    def describe(self) -> dict[str, Any]:
        """What runs: isa, threads of an instance, instances, precision with a note where it is not
        the one asked for, bytes, and for each linear layer its kernel, shape,
        stored number format, block and sparsity, the pattern of blocks that it is multiplied by
        (None: dense), and a note where a layer that is stored sparse runs dense.
        """
        lib = library.load()
        size = int(lib.limbeck_model_describe(self._handle, None, 0)) + 1
        buffer = ctypes.create_string_buffer(size)
        lib.limbeck_model_describe(self._handle, buffer, size)
        native: dict[str, Any] = json.loads(buffer.value)
        layers = [layer | self._storage(layer) for layer in native.pop("layers")]
        return native | {
            "activations": self.spec.quant.activations,
            "note": self._note,
            "stored_bytes": self._stored_bytes,
            "layers": layers,
        }

    def _storage(self, layer: dict[str, Any]) -> dict[str, Any]:
        """How the tensors behind one native layer are stored; it may be three fused into one."""
        stem, _, leaf = layer["name"].rpartition(".")
        names = [f"{stem}.{part}" for part in _FUSED] if leaf == "qkv" else [layer["name"]]
        parts = [self._stored[f"{name}.weight"] for name in names]
        blocks = {part.block for part in parts}
        sparse = blocks != {None}
        only = next(iter(blocks)) if len(blocks) == 1 else None
        note = None
        if sparse and layer["pattern"] is None:
            note = _DENSE_FASTER if self.precision == "int8" else _DENSE_FLOATS
        return {
            "stored_dtype": parts[0].dtype,
            "stored_bytes": sum(part.size_bytes for part in parts),
            "block": "mixed" if len(blocks) > 1 else only and list(only),
            "sparsity": sum(part.sparsity for part in parts) / len(parts),
            "note": note,
        }


def _check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_THREADS:
        raise InputError(f"{name} must be in 1 .. {_MAX_THREADS}, found {value!r}")
    return value


def _threads(asked: int | None, instances: int) -> int:
    """Threads of each instance."""
    if asked is not None:
        return _check_count("threads", asked)
    return max(1, min(library.available_cpus(), _MAX_THREADS) // instances)


def _check_weights(spec: ModelSpec, weights: Weights) -> None:
    labels, ranges = len(spec.task.labels), spec.quant.activations
    for name, shape, _ in expected_tensors(spec.encoder, spec.task.head, labels, ranges):
        if name not in weights:
            raise ModelError(f"the weights lack tensor {name}")
        if weights[name].shape != shape:
            raise ModelError(
                f"tensor {name} has shape {list(weights[name].shape)}; the spec asks for "
                f"{list(shape)}"
            )


def _destroy(lib: ctypes.CDLL, handle: int, _alive: npt.NDArray[Any]) -> None:
    lib.limbeck_model_destroy(handle)


def _int32(values: npt.NDArray[Any], what: str) -> npt.NDArray[np.int32]:
    if values.dtype != np.int32 or values.ndim != 1:
        raise InputError(
            f"{what} must be a one-dimensional int32 array; limbeck.batch.pack makes it"
        )
    return np.ascontiguousarray(values)


def _check_range(
    values: npt.NDArray[np.int32], end: int, what: str, cu_seqlens: npt.NDArray[np.int32]
) -> None:
    if int(values.min()) >= 0 and int(values.max()) < end:
        return
    at = int(np.flatnonzero((values < 0) | (values >= end))[0])
    sequence = int(np.searchsorted(cu_seqlens, at, side="right")) - 1
    raise InputError(
        f"{what} {int(values[at])} at token {at - int(cu_seqlens[sequence])} of sequence "
        f"{sequence} is outside the model's 0 .. {end - 1}"
    )

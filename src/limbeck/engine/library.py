"""ctypes declarations of native/bind/limbeck.h, and nothing else.

Calls through ctypes release the GIL. The library is opened at the first use, never at import.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

import limbeck
from limbeck.errors import EngineError

ABI_VERSION = 4
FILE_NAME = "liblimbeck.so"
_ERROR_BYTES = 1024

ACTIVATIONS = {"gelu": 0, "gelu_tanh": 1, "relu": 2, "tanh": 3, "identity": 4}
POSITION_MODES = {"absolute": 0, "after_padding": 1}
HEAD_KINDS = {None: 0, "sequence": 1, "token": 2}
PRECISIONS = {"fp32": 0, "int8": 1, "bf16": 2}
ACTIVATION_RANGES = {"dynamic": 0, "static": 1}
DTYPE_F32, DTYPE_S8 = 0, 1
OPS = {
    "embed": 0,
    "qkv": 1,
    "attention": 2,
    "quantize": 3,
    "project": 4,
    "norm": 5,
    "ffn_in": 6,
    "ffn_out": 7,
    "wait": 8,
}
OUTPUTS = {"logits": 0, "hidden": 1, "mean": 2, "cls": 3, "max": 4}


class ModelSpecStruct(ctypes.Structure):
    """LimbeckModelSpec."""

    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in (
                "abi_version",
                "precision",
                "layers",
                "hidden",
                "heads",
                "ffn",
                "vocab",
                "positions",
                "types",
                "activation",
                "position_mode",
                "pad_id",
                "head_kind",
                "head_dense",
                "labels",
            )
        ),
        ("norm_eps", ctypes.c_float),
        ("sparse_costs", ctypes.c_float * 6),
        ("activations", ctypes.c_int32),
    ]


class TensorStruct(ctypes.Structure):
    """LimbeckTensor."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * 2),
        ("data", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
    ]


class SpanStruct(ctypes.Structure):
    """LimbeckSpan."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("op", "layer", "thread", "reserved")),
        *((name, ctypes.c_int64) for name in ("begin_ns", "end_ns", "operations")),
    ]


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    i32, i64, pointer, text = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
    lib.limbeck_abi_version.argtypes = []
    lib.limbeck_abi_version.restype = i32
    lib.limbeck_isas.argtypes = [text, i32]
    lib.limbeck_isas.restype = None
    lib.limbeck_has_bf16.argtypes = [text]
    lib.limbeck_has_bf16.restype = i32
    lib.limbeck_available_cpus.argtypes = []
    lib.limbeck_available_cpus.restype = i32
    lib.limbeck_model_create.argtypes = [
        ctypes.POINTER(ModelSpecStruct),
        ctypes.POINTER(TensorStruct),
        i32,
        text,
        i32,
        i32,
        ctypes.POINTER(pointer),
        text,
        i32,
    ]
    lib.limbeck_model_create.restype = i32
    lib.limbeck_model_destroy.argtypes = [pointer]
    lib.limbeck_model_destroy.restype = None
    lib.limbeck_model_forward.argtypes = [
        pointer,
        pointer,
        pointer,
        pointer,
        i32,
        i32,
        pointer,
        i64,
        i32,
        text,
        i32,
    ]
    lib.limbeck_model_forward.restype = i32
    lib.limbeck_model_profile.argtypes = [
        *(pointer, pointer, pointer, pointer, i32, i32, pointer, i64),
        *(pointer, i64, ctypes.POINTER(i64), text, i32),
    ]
    lib.limbeck_model_profile.restype = i32
    double, doubles = ctypes.c_double, ctypes.POINTER(ctypes.c_double)
    lib.limbeck_bench_linear.argtypes = [
        *(text, i32, i64, i64, i64, i32, double, double),
        *(doubles, i32, ctypes.POINTER(i32), doubles, text, i32),
    ]
    lib.limbeck_bench_linear.restype = i32
    lib.limbeck_bench_peak.argtypes = [text, i32, double, doubles, text, i32]
    lib.limbeck_bench_peak.restype = i32
    lib.limbeck_model_describe.argtypes = [pointer, text, i64]
    lib.limbeck_model_describe.restype = i64
    return lib


def _find() -> Path:
    # Every directory of the package: an editable install keeps the library apart from the sources.
    places = [Path(place) / "_native" / FILE_NAME for place in limbeck.__path__]
    for path in places:
        if path.is_file():
            return path
    raise EngineError(
        f"the native engine is not built: no {' and no '.join(map(str, places))}; "
        "build it in the checkout with: pip install -e ."
    )


@cache
def load() -> ctypes.CDLL:
    """Open the native library, once.

    Raises:
        EngineError: it is not built, cannot be opened, or belongs to another version.
    """
    path = _find()
    try:
        lib = _declare(ctypes.CDLL(str(path)))
    except (OSError, AttributeError) as error:
        raise EngineError(
            f"{path} cannot be used ({error}); rebuild it: pip install -e ."
        ) from error
    found = int(lib.limbeck_abi_version())
    if found != ABI_VERSION:
        raise EngineError(
            f"{path} has interface {found}, this package needs {ABI_VERSION}; "
            "rebuild it: pip install -e ."
        )
    return lib


def isas() -> tuple[str, ...]:
    """Instruction sets that the library holds and this CPU has, best first."""
    buffer = ctypes.create_string_buffer(_ERROR_BYTES)
    load().limbeck_isas(buffer, _ERROR_BYTES)
    return tuple(name for name in buffer.value.decode().split(",") if name)


def has_bf16(isa: str) -> bool:
    """Whether this CPU has the bf16 dot products that go with an instruction set of `isas()`."""
    return bool(load().limbeck_has_bf16(isa.encode()))


def available_cpus() -> int:
    """CPUs that this process may use: affinity mask and cgroup quota, at least 1."""
    return int(load().limbeck_available_cpus())


def choose_isa(asked: str | None) -> str:
    """The instruction set to run: `asked`, else $LIMBECK_ISA, else the best.

    Raises:
        EngineError: this CPU, or this build, does not have it.
    """
    have = isas()
    source = f"isa={asked!r}"
    if asked is None:
        asked = os.environ.get("LIMBECK_ISA") or None
        source = f"LIMBECK_ISA={asked}"
    if asked is None:
        return have[0]
    if asked not in have:
        raise EngineError(f"{source} is not available here; available: {', '.join(have)}")
    return asked


class ErrorText:
    """The buffer that a native call writes its message to."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_ERROR_BYTES)
        self.size = _ERROR_BYTES

    def __str__(self) -> str:
        return self.buffer.value.decode("utf-8", "replace")

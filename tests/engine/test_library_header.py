"""The declarations in engine/library.py against the header that the library is built from."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from limbeck.engine import library

HEADER = Path(__file__).resolve().parents[2] / "native" / "bind" / "limbeck.h"
SCALARS = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "void": None,
    "char*": ctypes.c_char_p,
}


@pytest.fixture(scope="module")
def header() -> str:
    text = re.sub(r"//[^\n]*", "", HEADER.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", text)


class Recorder:
    """Stands in for the library: keeps what is declared for each function."""

    def __init__(self) -> None:
        self.functions: dict[str, Recorder] = {}

    def __getattr__(self, name: str) -> Recorder:
        if not name.startswith("limbeck_"):
            raise AttributeError(name)
        return self.functions.setdefault(name, Recorder())


def c_type(text: str) -> object:
    """The ctypes type of a C parameter or result; every other pointer stands for an address."""
    text = text.replace("const ", "").strip()
    name = re.sub(r"\s*\*\s*", "*", re.sub(r"\b\w+$", "", text) if " " in text else text).strip()
    return SCALARS.get(name, "pointer")


def kind(declared: object) -> object:
    if declared is None or declared in SCALARS.values():
        return declared
    return "pointer"


def test_every_function_is_declared_as_the_header_has_it(header: str) -> None:
    declared = Recorder()
    library._declare(declared)  # type: ignore[arg-type]
    found = re.findall(r"LIMBECK_API (\w+) (limbeck_\w+)\(([^)]*)\);", header)
    assert len(found) >= 7
    assert {name for _, name, _ in found} == set(declared.functions)
    for result, name, parameters in found:
        wanted = [] if parameters == "void" else [c_type(p) for p in parameters.split(",")]
        function = declared.functions[name]
        assert [kind(a) for a in function.argtypes] == wanted, name  # type: ignore[attr-defined]
        assert function.restype is SCALARS[result], name


@pytest.mark.parametrize(
    ("structure", "declared"),
    [
        ("LimbeckModelSpec", library.ModelSpecStruct),
        ("LimbeckTensor", library.TensorStruct),
        ("LimbeckSpan", library.SpanStruct),
    ],
)
def test_structures_have_the_header_s_fields_in_order(
    header: str, structure: str, declared: type[ctypes.Structure]
) -> None:
    body = re.search(rf"typedef struct {structure} {{(.*?)}} {structure};", header)
    assert body is not None
    fields = [field.strip() for field in body[1].split(";") if field.strip()]
    names = [re.search(r"(\w+)(\[\d+\])?$", field) for field in fields]
    assert [n[1] for n in names if n] == [field[0] for field in declared._fields_]
    for field, (name, declared_type, *_) in zip(fields, declared._fields_, strict=True):
        if "[" in field:
            length = int(field[field.index("[") + 1 : -1])
            element = SCALARS[field.split()[0]]
            assert ctypes.sizeof(declared_type) == length * ctypes.sizeof(element), name  # type: ignore[arg-type]
        elif "*" in field:
            assert ctypes.sizeof(declared_type) == ctypes.sizeof(ctypes.c_void_p), name
        else:
            assert declared_type is SCALARS[field.split()[0]], name


def test_constants_are_the_header_s(header: str) -> None:
    version = re.search(r"#define LIMBECK_ABI_VERSION (\d+)", HEADER.read_text(encoding="utf-8"))
    assert version is not None
    assert int(version[1]) == library.ABI_VERSION
    constants = {k: int(v) for k, v in re.findall(r"(LIMBECK_[A-Z0-9_]+) = (\d+)", header)}
    python = {
        "LIMBECK_": library.ACTIVATIONS
        | library.POSITION_MODES
        | library.PRECISIONS
        | library.ACTIVATION_RANGES,
        "LIMBECK_OP_": library.OPS,
        "LIMBECK_HEAD_": {k or "none": v for k, v in library.HEAD_KINDS.items()},
    }
    expected = {
        prefix + name.upper(): value for prefix, d in python.items() for name, value in d.items()
    }
    expected |= {"LIMBECK_F32": library.DTYPE_F32, "LIMBECK_S8": library.DTYPE_S8}
    pooled = {"mean", "cls", "max"}
    for name, value in library.OUTPUTS.items():
        key = f"LIMBECK_POOLED_{name.upper()}" if name in pooled else f"LIMBECK_{name.upper()}"
        expected[key] = value
    assert expected == constants

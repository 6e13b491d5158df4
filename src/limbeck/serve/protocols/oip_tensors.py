"""Tensors of the Open Inference Protocol: JSON and bytes -> texts, arrays -> JSON and bytes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limbeck.serve.protocols import fields, oip_binary
from limbeck.serve.refused import RefusedError

Datatype = Literal["BYTES", "FP32", "INT64", "BOOL"]
DTYPES: dict[Datatype, Any] = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_}

_FIELDS = ("name", "shape", "datatype", "parameters", "data")
# "content_type": what clients of MLServer add; "str" is all that a text can be.
_PARAMETERS = ("binary_data_size", "content_type")


@dataclass(frozen=True, kw_only=True)
class Described:
    """A tensor as metadata gives it. shape: -1 where it varies."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """A tensor with what is in it: str for BYTES, in row-major order; else an array."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    values: list[str] | npt.NDArray[Any]

    @classmethod
    def of_texts(cls, name: str, texts: list[str]) -> Tensor:
        return cls(name=name, datatype="BYTES", shape=(len(texts),), values=texts)

    @classmethod
    def of_numbers(cls, name: str, datatype: Datatype, numbers: Any) -> Tensor:
        array = np.ascontiguousarray(numbers, dtype=DTYPES[datatype])
        return cls(name=name, datatype=datatype, shape=array.shape, values=array)


def read_texts(
    value: object, tail: bytes, *, known: Collection[str], most_rows: int
) -> dict[str, list[str]]:
    """The inputs of a request by name, each with as many texts.

    Args:
        value: of the field "inputs".
        tail: the bytes behind the JSON; all of them must belong to an input.
        known: names that inputs may have.

    Raises:
        RefusedError: bad_request; too_large for more than `most_rows` texts.
    """
    inputs = fields.a_list(value, "inputs")
    if not inputs:
        raise RefusedError("bad_request", f"inputs is empty; known: {', '.join(sorted(known))}")
    found: dict[str, list[str]] = {}
    at = 0
    for position, one in enumerate(inputs):
        place = f"inputs[{position}]"
        tensor = fields.an_object(one, place, known=_FIELDS, required=("name", "shape", "datatype"))
        name = fields.a_string(tensor["name"], f"{place}.name")
        if name not in known:
            raise RefusedError(
                "bad_request",
                f"the model has no input {fields.shown(name)}; {fields.nearest(name, known)}",
            )
        if name in found:
            raise RefusedError("bad_request", f"the input {name!r} is given twice")
        where = f"input {name!r}"
        if tensor["datatype"] != "BYTES":
            raise RefusedError(
                "bad_request",
                f"{where} must have datatype 'BYTES', found {fields.shown(tensor['datatype'])}; "
                "send texts, not token ids",
            )
        shape = _shape(tensor["shape"], where, most_rows)
        size = _binary_size(tensor, where)
        if size is None:
            found[name] = _texts(tensor["data"], shape, where)
            continue
        if size > len(tail) - at:
            raise RefusedError(
                "bad_request",
                f"{where} says binary_data_size {size}, and {len(tail) - at} bytes are left "
                f"behind the JSON; {oip_binary.HEADER} says where that ends",
            )
        found[name] = oip_binary.read_strings(tail[at : at + size], shape[0], where)
        at += size
    if at != len(tail):
        raise RefusedError(
            "bad_request", f"{len(tail) - at} bytes behind the JSON belong to no input"
        )
    rows = {name: len(texts) for name, texts in found.items()}
    if len(set(rows.values())) > 1:
        raise RefusedError(
            "bad_request",
            "inputs must have as many rows each, found "
            + ", ".join(f"{count} in {name!r}" for name, count in rows.items()),
        )
    return found


def _shape(value: object, where: str, most_rows: int) -> tuple[int, ...]:
    """[B] or [B, 1]."""
    shape = fields.a_list(value, f"the shape of {where}")
    if len(shape) not in (1, 2):
        raise RefusedError(
            "bad_request", f"the shape of {where} must be [B] or [B, 1], found {len(shape)} axes"
        )
    rows = fields.an_integer(shape[0], f"the shape of {where}", lowest=1)
    if len(shape) == 2:
        fields.an_integer(shape[1], f"the last axis of the shape of {where}", lowest=1, highest=1)
    if rows > most_rows:
        raise RefusedError(
            "too_large", f"{rows} inputs; at most {most_rows} are taken in one request"
        )
    return (rows, *shape[1:])


def _binary_size(tensor: dict[str, Any], where: str) -> int | None:
    """Bytes behind the JSON that belong to it; None where the JSON has its data."""
    parameters = fields.parameters(tensor.get("parameters"), f"the parameters of {where}")
    for name in parameters:
        if name not in _PARAMETERS:
            raise RefusedError(
                "bad_request",
                f"{where} cannot have the parameter {fields.shown(name)}; "
                f"{fields.nearest(name, _PARAMETERS)}",
            )
    if parameters.get("content_type", "str") != "str":
        raise RefusedError(
            "bad_request", f"the content_type of {where} can be 'str' only: it is text"
        )
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in tensor:
            raise RefusedError(
                "bad_request", f"{where} has no data, and no binary_data_size in its parameters"
            )
        return None
    if "data" in tensor:
        raise RefusedError("bad_request", f"{where} has both data and a binary_data_size")
    return fields.an_integer(size, f"the binary_data_size of {where}", lowest=0)


def _texts(value: object, shape: tuple[int, ...], where: str) -> list[str]:
    """Data in JSON, flat or nested as the shape says."""
    data = fields.a_list(value, f"the data of {where}")
    if len(shape) == 2 and data and all(isinstance(row, list) for row in data):
        for index, row in enumerate(data):
            if len(row) != 1:
                raise RefusedError(
                    "bad_request",
                    f"row {index} of {where} has {len(row)} elements, but 1 by its shape",
                )
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise RefusedError(
            "bad_request", f"{where} has {len(data)} elements, but {shape[0]} by its shape"
        )
    for index, text in enumerate(data):
        if not isinstance(text, str):
            raise RefusedError(
                "bad_request",
                f"element {index} of {where} must be a string, found {fields.kind(text)}",
            )
    return data


def written(tensors: Sequence[Tensor], binary: Collection[str]) -> tuple[list[Any], bytes]:
    """The field "outputs" of an answer, and the bytes behind its JSON.

    binary: names of those whose data stand there.
    """
    outputs: list[Any] = []
    tail: list[bytes] = []
    for tensor in tensors:
        one: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        values = tensor.values
        if tensor.name in binary:
            tail.append(oip_binary.write(values))
            one["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            one["data"] = values.reshape(-1) if isinstance(values, np.ndarray) else values
        outputs.append(one)
    return outputs, b"".join(tail)

"""The bytes behind the JSON: what is written is read, and whatever else comes is refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.serve.protocols import oip_binary
from limbeck.serve.protocols.oip_tensors import read_texts
from limbeck.serve.refused import RefusedError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def element(data: bytes, size: int | None = None) -> bytes:
    return struct.pack("<I", len(data) if size is None else size) + data


@given(st.lists(TEXT))
def test_texts_come_back(texts: list[str]) -> None:
    assert oip_binary.read_strings(oip_binary.write(texts), len(texts), "input 'a'") == texts


def test_texts_are_written_as_triton_writes_them() -> None:
    theirs = pytest.importorskip("tritonclient.utils")

    texts = ["a", "", "zwölf Häuser", "\N{GRINNING FACE}" * 70]
    written = oip_binary.write(texts)
    assert written == theirs.serialize_byte_tensor(np.array(texts, dtype=object)).item()
    assert [one.decode() for one in theirs.deserialize_bytes_tensor(written)] == texts


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8", "?"])
def test_numbers_are_little_endian(dtype: str) -> None:
    values = np.array([[0, 1], [1, 7]], dtype=dtype)[:, ::-1]
    written = oip_binary.write(values)
    read = np.frombuffer(written, dtype=values.dtype.newbyteorder("<")).reshape(2, 2)
    assert (read == values).all()


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"\x01\x00\x00", 1, "the length of element 0 is cut off"),
        (element(b"ab", 3), 1, "says that it has 3 bytes, and 2 are left"),
        (element(b"", 0xFFFFFFFF), 1, "4294967295 bytes, and 0 are left"),
        (element(b"ab") + element(b"c"), 1, "5 bytes are left after the 1 elements"),
        (element(b"ab") + b"\x00", 1, "1 bytes are left"),
        (element(b"ab"), 2, "1 elements in its bytes, but 2 by its shape"),
        (b"", 1, "0 elements in its bytes, but 1"),
        (element(b"ok") + element(b"a\xff"), 2, "element 1 is not UTF-8 at its byte 1"),
        (element(b"\xed\xa0\x80"), 1, "element 0 is not UTF-8"),  # half of a surrogate pair
    ],
)
def test_broken_texts_are_refused(data: bytes, count: int, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        oip_binary.read_strings(data, count, "input 'text'")
    assert message in refused.value.message
    assert "input 'text'" in refused.value.message
    assert refused.value.reason == "bad_request"


def test_the_header_says_where_json_ends() -> None:
    assert oip_binary.split(b"{}ab", "2") == (b"{}", b"ab")
    assert oip_binary.split(b"{}ab", " 4 ") == (b"{}ab", b"")
    assert oip_binary.split(b"{}ab", "0") == (b"", b"{}ab")
    assert oip_binary.split(b"{}ab", None) == (b"{}ab", b"")


@pytest.mark.parametrize("header", ["5", "-1", "+2", "1e1", "", "2, 2", "٢", "1_0", "9" * 5000])
def test_a_header_that_is_no_length_is_refused(header: str) -> None:
    with pytest.raises(RefusedError, match="Inference-Header-Content-Length"):
        oip_binary.split(b"{}ab", header)


@given(st.binary(max_size=200), st.integers(0, 20))
def test_any_bytes_are_texts_or_refused(data: bytes, count: int) -> None:
    try:
        texts = oip_binary.read_strings(data, count, "input 'text'")
    except RefusedError:
        return
    assert oip_binary.write(texts) == data
    assert len(texts) == count


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
# Close to what is right, so that deeper checks are reached too.
NEARLY = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["text", "text_pair", "other"]) | JSON,
            "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
            "datatype": st.sampled_from(["BYTES", "FP32", "INT64"]) | JSON,
            "parameters": st.fixed_dictionaries(
                {}, optional={"binary_data_size": st.integers(-1, 30) | JSON}
            )
            | JSON,
            "data": st.lists(TEXT | st.lists(TEXT, max_size=2), max_size=3) | JSON,
        },
    ),
    max_size=3,
)


@given(NEARLY | JSON, st.binary(max_size=60))
def test_any_inputs_are_texts_or_refused(inputs: Any, tail: bytes) -> None:
    try:
        found = read_texts(inputs, tail, known=("text", "text_pair"), most_rows=2)
    except RefusedError:
        return
    assert len({len(texts) for texts in found.values()}) == 1
    assert all(isinstance(text, str) for texts in found.values() for text in texts)


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1, max_size=4), st.booleans())
def test_binary_and_json_are_the_same(rows: list[list[str]], two_axes: bool) -> None:
    names = ("text", "text_pair")
    columns = dict(zip(names, map(list, zip(*rows))))
    shape = [len(rows), 1] if two_axes else [len(rows)]
    parts = {name: oip_binary.write(texts) for name, texts in columns.items()}
    as_binary = [
        {
            "name": name,
            "shape": shape,
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(parts[name])},
        }
        for name in names
    ]
    flat = [
        {"name": name, "shape": shape, "datatype": "BYTES", "data": columns[name]} for name in names
    ]
    tail = b"".join(parts.values())
    assert read_texts(as_binary, tail, known=names, most_rows=4) == columns
    assert read_texts(flat, b"", known=names, most_rows=4) == columns
    mixed = [as_binary[0], flat[1]]
    assert read_texts(mixed, parts["text"], known=names, most_rows=4) == columns
    if two_axes:
        nested = [one | {"data": [[text] for text in one["data"]]} for one in flat]
        assert read_texts(nested, b"", known=names, most_rows=4) == columns
    with pytest.raises(RefusedError, match="belong to no input"):
        read_texts(as_binary, tail + b"\x00", known=names, most_rows=4)
    with pytest.raises(RefusedError):
        read_texts(as_binary, tail[:-1], known=names, most_rows=4)

"""Hostile and damaged model.safetensors, with every hash made to fit."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError

POSITION = "embeddings.position"
SCALE = f"{samples.DENSE}.scale"
BITMAP = f"{samples.SPARSE}.bitmap"
VALUES = f"{samples.SPARSE}.values"

Header = dict[str, Any]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    samples.write(tmp_path / "a")
    return tmp_path / "a"


def refused(directory: Path, message: str, verify: tuple[bool, ...] = (True, False)) -> None:
    for option in verify:
        with samples.no_hang(), pytest.raises(ArtifactError, match=message) as caught:
            artifact.read(directory, verify=option)
        assert len(str(caught.value)) < 1000 + len(str(directory))


def put_file(directory: Path, content: bytes) -> None:
    (directory / "model.safetensors").write_bytes(content)
    samples.reseal(directory)


def test_forging_alone_breaks_nothing(made: Path) -> None:
    file = samples.WeightsFile.load(made)
    file.save(made)
    assert artifact.read(made).spec == samples.spec()


# --- the file as a whole -----------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 2000, -64, -1])
def test_truncated(made: Path, length: int) -> None:
    content = (made / "model.safetensors").read_bytes()[:length]
    (made / "model.safetensors").write_bytes(content)
    refused(made, "truncated")
    samples.reseal(made)
    refused(made, "truncated|damaged|behind its last|outside")


def test_changed_byte_is_found_by_verifying(made: Path) -> None:
    content = bytearray((made / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (made / "model.safetensors").write_bytes(content)
    refused(made, "wrong digest: model.safetensors", verify=(True,))


def test_bytes_behind_the_end(made: Path) -> None:
    put_file(made, (made / "model.safetensors").read_bytes() + b"\0" * 64)
    refused(made, "64 bytes behind its last tensor")


@pytest.mark.parametrize("length", [2**24 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_huge_header(made: Path, length: int) -> None:
    put_file(made, struct.pack("<Q", length) + (made / "model.safetensors").read_bytes()[8:])
    refused(made, "at most 16777216 are allowed")


def test_header_longer_than_the_file(made: Path) -> None:
    put_file(made, struct.pack("<Q", 10**6) + (made / "model.safetensors").read_bytes()[8:])
    refused(made, "truncated: its header needs 1000008 bytes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "JSON object"),
        (b"[]", "JSON object"),
        (b" {}", "JSON object"),
        (b"{", "damaged"),
        (b"{}x", "damaged"),
        (b"{}", "behind its last"),
        (b"\xff", "JSON object"),
        (b'{"\xff": 1}', "UTF-8"),
        (b'{"x": NaN}', "NaN"),
        (b'{"x": 1, "x": 1}', "'x' appears twice"),
        (b'{"x":' * 100_000, "deeper"),
        (b'{"__metadata__": 1}', "__metadata__"),
        (b'{"__metadata__": {"a": 1}}', "__metadata__"),
        (b'{"__metadata__": {}, "__metadata__": {}}', "twice"),
    ],
)
def test_header_text(made: Path, text: bytes, message: str) -> None:
    samples.WeightsFile.load(made).save(made, text)
    refused(made, message)


def test_tensor_twice_in_the_header(made: Path) -> None:
    file = samples.WeightsFile.load(made)
    once = f'"{SCALE}": {json.dumps(file.header[SCALE])}'
    text = file.text().rstrip().decode()
    assert once in text
    file.save(made, text.replace(once, f"{once}, {once}").encode())
    refused(made, "appears twice")


def test_metadata_is_welcome(made: Path) -> None:
    file = samples.WeightsFile.load(made)
    file.header["__metadata__"] = {"format": "pt", "path": "../../x"}
    file.save(made)
    artifact.read(made)


# --- entries of the header ---------------------------------------------------------------------


def shift(header: Header, first: int, by: int) -> None:
    for item in header.values():
        item["data_offsets"] = [o + by if o >= first else o for o in item["data_offsets"]]


def overlap(header: Header) -> None:
    header[SCALE]["data_offsets"] = header[f"{samples.DENSE}"]["data_offsets"][:1] * 2
    begin = header[SCALE]["data_offsets"][0]
    header[SCALE]["data_offsets"][1] = begin + 96


def swap_names(header: Header) -> None:
    header[SCALE], header[POSITION] = header[POSITION], header[SCALE]


def offsets(name: str, value: object) -> Callable[[Header], None]:
    return lambda header: header[name].__setitem__("data_offsets", value)


def shape(name: str, value: object) -> Callable[[Header], None]:
    return lambda header: header[name].__setitem__("shape", value)


def dtype(name: str, value: object) -> Callable[[Header], None]:
    return lambda header: header[name].__setitem__("dtype", value)


def end_of(header: Header) -> int:
    return max(item["data_offsets"][1] for item in header.values())


def outside(header: Header) -> None:
    last = max(header.values(), key=lambda item: item["data_offsets"][1])
    shift(header, last["data_offsets"][0], 10**9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop(SCALE), "gap|behind its last"),
        (lambda h: h.update({"../../x": h[SCALE]}), "overlaps"),
        (
            lambda h: h.update(
                {"/etc/x": {"dtype": "U8", "shape": [0], "data_offsets": [end_of(h)] * 2}}
            ),
            "no tensor owns",
        ),
        (lambda h: h.update(x=1), "must have dtype, shape and data_offsets"),
        (lambda h: h.update(x=[]), "must have dtype, shape and data_offsets"),
        (lambda h: h[SCALE].pop("dtype"), "must have dtype"),
        (lambda h: h[SCALE].update(strides=[1]), "no more"),
        (dtype(SCALE, "F64"), "has dtype 'F64'"),
        (dtype(SCALE, "BOOL"), "has dtype"),
        (dtype(SCALE, None), "has dtype"),
        (dtype(SCALE, ["F32"]), "has dtype"),
        (dtype(SCALE, {}), "has dtype"),
        (dtype(SCALE, "I8"), "occupies"),
        (shape(SCALE, None), "has shape"),
        (shape(SCALE, "24"), "has shape"),
        (shape(SCALE, [24.0]), "has shape"),
        (shape(SCALE, [True]), "has shape"),
        (shape(SCALE, [-24]), "has shape"),
        (shape(SCALE, [24, 1, 1]), "at most two"),
        (shape(SCALE, [10**19] * 100_000), "at most two"),
        (shape(SCALE, [2**63]), "has shape"),
        (shape(SCALE, [2**62, 4]), "occupies"),
        (shape(SCALE, [2**32, 2**32]), "occupies"),
        (shape(SCALE, [2**62 + 24]), "occupies"),  # 2**64 + 96 bytes: 96 in 64 bits
        (shape(SCALE, [2**31, 2**31]), "occupies"),
        (shape(SCALE, [23]), "occupies"),
        (shape(SCALE, [24, 1]), r"must be F32 \[24\]"),
        (shape(SCALE, [12, 2]), r"must be F32 \[24\]"),
        (shape(samples.DENSE, [8, 24]), r"must be I8 \[24, 8\]"),
        (dtype(samples.DENSE, "U8"), r"must be I8 \[24, 8\]"),
        (dtype(BITMAP, "I8"), "must be U8"),
        (offsets(SCALE, None), "data_offsets"),
        (offsets(SCALE, [0]), "data_offsets"),
        (offsets(SCALE, [0, 96, 96]), "data_offsets"),
        (offsets(SCALE, {"begin": 0, "end": 96}), "data_offsets"),
        (offsets(SCALE, [0.0, 96.0]), "data_offsets"),
        (offsets(SCALE, [-96, 0]), "data_offsets"),
        (offsets(SCALE, [2**64 - 96, 2**64]), "data_offsets"),
        (offsets(SCALE, [2**63 - 97, 2**63 - 1]), "outside"),
        (offsets(SCALE, [10**9, 10**9 + 96]), "outside"),
        (offsets(SCALE, [96, 0]), "occupies -96"),
        (offsets(SCALE, [0, 0]), "occupies 0"),
        (offsets(SCALE, [0, 96]), "overlaps"),
        (overlap, "overlaps"),
        (outside, "outside"),
        (lambda h: shift(h, 0, 64), "outside|gap"),
        (lambda h: h[samples.SPARSE + ".scale"].update(h[SCALE]), "overlaps"),
        (swap_names, "must be F32"),
    ],
)
def test_header_entries(made: Path, change: Callable[[Header], object], message: str) -> None:
    file = samples.WeightsFile.load(made)
    change(file.header)
    file.save(made)
    refused(made, message)


def test_gap_between_parts(made: Path) -> None:
    file = samples.WeightsFile.load(made)
    begin = file.header[SCALE]["data_offsets"][0]
    file.data[begin:begin] = bytes(64)
    shift(file.header, begin, 64)
    before = [item for item in file.header.values() if item["data_offsets"][1] == begin + 64]
    for item in before:
        item["data_offsets"][1] = begin
    file.save(made)
    refused(made, "follows a gap")


def test_unaligned_float32(made: Path) -> None:
    file = samples.WeightsFile.load(made)
    file.save(made, file.text() + b" ")
    refused(made, "unaligned")


def without(directory: Path, name: str) -> None:
    """Take a part out as if it had never been there."""
    file = samples.WeightsFile.load(directory)
    span = file.span(name)
    del file.header[name], file.data[span]
    shift(file.header, span.stop, span.start - span.stop)
    file.save(directory)


@pytest.mark.parametrize("name", [POSITION, samples.DENSE, SCALE, BITMAP, VALUES])
def test_missing_tensor(made: Path, name: str) -> None:
    without(made, name)
    refused(made, f"lacks its part {name}")


def test_missing_pair(made: Path) -> None:
    for name in (BITMAP, VALUES, f"{samples.SPARSE}.scale"):
        without(made, name)
    refused(made, "lacks its part")


def test_extra_tensor(made: Path) -> None:
    file = samples.WeightsFile.load(made)
    end = len(file.data)
    file.data += bytes(64)
    file.header["embeddings.secret"] = {
        "dtype": "U8",
        "shape": [64],
        "data_offsets": [end, end + 64],
    }
    file.save(made)
    refused(made, "parts that no tensor owns.*embeddings.secret")


# --- contents ----------------------------------------------------------------------------------


def poke(directory: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Change the array of a part in place."""
    file = samples.WeightsFile.load(directory)
    kinds = {"F32": "<f4", "I8": "i1", "U8": "u1"}
    array = np.frombuffer(bytes(file.data[file.span(name)]), kinds[file.header[name]["dtype"]])
    array = array.copy()
    change(array)
    file.data[file.span(name)] = array.tobytes()
    file.save(directory)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -0.0, -0.25, 3e38, -1e-45])
@pytest.mark.parametrize(
    "name", [SCALE, f"{samples.SPARSE}.scale", "embeddings.word.scale"], ids=["d", "s", "e"]
)
def test_scales(made: Path, name: str, bad: float) -> None:
    poke(made, name, lambda array: array.__setitem__(-1, bad))
    refused(made, "a scale must be positive and finite")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [POSITION, "layers.1.ffn.norm.gain", "head.classifier.bias"])
def test_weights_that_are_not_finite(made: Path, name: str, bad: float) -> None:
    poke(made, name, lambda array: array.__setitem__(0, bad))
    refused(made, f"{name} holds .* at element 0; weights must be finite", verify=(True,))


def test_not_finite_in_fp32_blocks_and_far_into_a_table(tmp_path: Path) -> None:
    samples.write(tmp_path / "a", "fp32")
    poke(tmp_path / "a", VALUES, lambda array: array.__setitem__(-1, np.nan))
    refused(tmp_path / "a", "weights must be finite", verify=(True,))


@pytest.mark.parametrize("name", [samples.DENSE, VALUES, "embeddings.word"])
def test_minus_128(made: Path, name: str) -> None:
    poke(made, name, lambda array: array.__setitem__(-1, -128))
    refused(made, "-128", verify=(True,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bits: bits.__setitem__(slice(None), 0), "marks 0 blocks"),
        (lambda bits: bits.__setitem__(slice(None), [255, 15]), "marks 12 blocks"),
        (lambda bits: bits.__setitem__(1, bits[1] | 128), "behind the last one"),
        (lambda bits: bits.__setitem__(0, bits[0] ^ 1), r"marks \d+ blocks"),
    ],
)
def test_bitmaps(made: Path, change: Callable[[np.ndarray], None], message: str) -> None:
    poke(made, BITMAP, change)
    refused(made, message)


@pytest.mark.parametrize("kept", [0, 1, 12, 13, 10_000])
def test_count_of_kept_blocks(made: Path, kept: int) -> None:
    file = samples.WeightsFile.load(made)
    span = file.span(VALUES)
    wanted = kept * 16
    assert wanted != span.stop - span.start
    file.data[span] = bytes(wanted)
    file.header[VALUES] |= {"shape": [kept, 16], "data_offsets": [span.start, span.start + wanted]}
    by = wanted - (span.stop - span.start)
    for name, item in file.header.items():
        if name != VALUES and item["data_offsets"][0] >= span.stop:
            item["data_offsets"] = [offset + by for offset in item["data_offsets"]]
    file.save(made)
    refused(made, f"marks .* has {kept}|keeps {kept} blocks of 12")

"""Hostile and damaged limbeck.json: always an ArtifactError, whatever its digest says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError
from limbeck.spec import MAX_INT8_INPUTS

Fields = dict[str, Any]
Change = Callable[[Fields], object]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    samples.write(tmp_path / "a")
    return tmp_path / "a"


def refused(directory: Path, message: str) -> None:
    for verify in (True, False):
        with samples.no_hang(), pytest.raises(ArtifactError, match=message) as caught:
            artifact.read(directory, verify=verify)
        assert len(str(caught.value)) < 1000 + len(str(directory))


def refused_resealed(directory: Path, change: Change, message: str) -> None:
    samples.reseal(directory, change)
    refused(directory, message)


def put(path: str, value: object) -> Change:
    """Set a field; digits in the path index lists."""

    def change(fields: Fields) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place: Any = fields
        for step in steps:
            place = place[step]
        place[last] = value

    return change


def in_entry(name: str, key: str, value: object) -> Change:
    return lambda fields: samples.entry(fields, name).__setitem__(key, value)


# --- bytes that are no JSON, or more than JSON -------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"\0" * 100, "damaged"),
        (b"{", "damaged"),
        (b"null", "JSON object"),
        (b"[]", "JSON object"),
        (b'"' + b"x" * 10_000 + b'"', "JSON object"),
        (b"{}", "format version"),
        (b'{"format": 1}', "lacks the key 'digest'"),
        (b'\xef\xbb\xbf{"format": 1}', "damaged"),
        ('{"format": 1}'.encode("utf-16"), "not UTF-8 at byte 0"),
        (b'{"format": "\xff"}', "not UTF-8 at byte 12"),
        (b'{"format": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"format": 1, "x": NaN}', "NaN is no JSON"),
        (b'{"format": 1, "x": -Infinity}', "-Infinity is no JSON"),
        (b'{"format": 1, "x": 1e999}', "out of range"),
        (b'{"format": 1, "x": ' + b"9" * 100_000 + b"}", "out of range"),
        (b'{"format": 1, "x": 0.' + b"1" * 1_000_000 + b"}", "out of range"),
        (b'{"format": 1, "format": 1}', "'format' appears twice"),
        (b'{"format": 1, "lineage": {"a": {"b": 1, "b": 1}}}', "'b' appears twice"),
        (b'{"format": 1, "lineage": "\\ud800"}', "surrogate"),
        (b'{"format": 1, "\\udc00": 1}', "surrogate"),
        (b'{"format": 1, "x": ' + b"[" * 65 + b"]" * 65 + b"}", "deeper than 64"),
        (b"[" * 1_000_000, "deeper than 64"),
        (b'{"a":' * 1_000_000, "deeper than 64"),
        (b'["\\"[[",' * 100 + b"[" * 100, "deeper than 64"),
        (b"{" + b" " * 17_000_000 + b"}", "at most 16777216"),
        (b'"\\"' * 1_000_000, "damaged"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_bytes(made: Path, content: bytes, message: str) -> None:
    (made / "limbeck.json").write_bytes(content)
    refused(made, message)


def test_depth_holds_whatever_the_recursion_limit(made: Path) -> None:
    (made / "limbeck.json").write_bytes(b'{"a":' * 2_000_000)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**8)
    try:
        refused(made, "deeper than 64")
    finally:
        sys.setrecursionlimit(before)


def test_brackets_in_strings_are_no_depth(made: Path) -> None:
    samples.reseal(made, put("lineage", {"text": '["\\{' * 100, "more": "\\" * 7 + '"' + "[" * 99}))
    assert artifact.read(made).spec == samples.spec()


def test_duplicate_key_anywhere(made: Path) -> None:
    text = (made / "limbeck.json").read_text()
    for key in ("layers", "sha256", "dtype", "values", "temperature"):
        twice = text.replace(f'"{key}":', f'"{key}": 0, "{key}":', 1)
        assert twice != text
        (made / "limbeck.json").write_text(twice)
        refused(made, f"'{key}' appears twice")


# --- version and digest ------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, -1, 10**30])
def test_unknown_version(made: Path, version: int) -> None:
    refused_resealed(made, put("format", version), f"format {version} is unknown.*export")


@pytest.mark.parametrize("version", ["1", 1.0, True, None, [1]])
def test_version_of_another_type(made: Path, version: object) -> None:
    refused_resealed(made, put("format", version), "format version")


def test_version_is_looked_at_first(made: Path) -> None:
    (made / "limbeck.json").write_text('{"format": 2, "new": {}}')
    refused(made, "format 2 is unknown")


@pytest.mark.parametrize(
    "change",
    [
        put("digest", "0" * 64),
        put("digest", ""),
        put("spec.encoder.norm_eps", 1e-6),
        put("spec.task.labels.0", "other"),
        put("spec.task.threshold.value", 0.5),
        put("files.weights.sha256", "0" * 64),
        lambda fields: fields["tensors"].reverse(),
    ],
)
def test_wrong_digest(made: Path, change: Change) -> None:
    fields = samples.document(made)
    change(fields)
    (made / "limbeck.json").write_text(json.dumps(fields))
    refused(made, "wrong digest")


# --- keys and types ----------------------------------------------------------------------------


STAND_INS = ("embeddings.word", samples.SPARSE)  # for the other entries of the tensor table


def objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document but those of the lineage and of most tensors."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            if key != "lineage":
                yield from objects(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not path.endswith(".tensors") or item.get("name") in STAND_INS:
                yield from objects(item, f"{path}[{index}]")


def test_every_key_is_needed_and_no_other_is_known(made: Path) -> None:
    text = (made / "limbeck.json").read_text()
    found = [(path, key) for path, item in objects(json.loads(text)) for key in item]
    assert len(found) > 50
    for path, key in found:
        if path.endswith(".parts"):
            continue  # names its own keys; see test_parts
        for new in (None, key + "x", key.upper()):

            def change(fields: Fields, path: str = path, key: str = key, new: object = new) -> None:
                place = dict(objects(fields))[path]
                value = place.pop(key)
                if new is not None:
                    place[new] = value

            (made / "limbeck.json").write_text(text)
            samples.reseal(made, change)
            with pytest.raises(ArtifactError, match=r"key|format version"):
                artifact.read(made, verify=False)


def test_unknown_key_names_the_nearest(made: Path) -> None:
    refused_resealed(
        made,
        put("spec.encoder.layer", 1),
        "limbeck.json.spec.encoder has the unknown key 'layer'; the nearest known key is 'layers'",
    )


def test_key_like_no_other(made: Path) -> None:
    refused_resealed(made, put("files.zzz", 1), "unknown key 'zzz'; known: weights, tokenizer")


def test_missing_key_is_named(made: Path) -> None:
    refused_resealed(
        made, lambda fields: fields["spec"]["task"].pop("problem"), "spec.task lacks.*'problem'"
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value, whole objects and lists included, but for the lineage's inside."""
    if path:
        yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        if path == ("tensors",) and item["name"] not in STAND_INS:
            continue
        if path == ("lineage",) or key == "digest":  # resealing puts the digest right again
            continue
        yield from places(item, (*path, key))


NUMBERS = (0, -1, 2**31, 2**63, 2**200, 0.5, -0.0)
JUNK = (None, True, False, *NUMBERS, "", "x", "\0", [], {}, [[]], [{}])


def test_wrong_type_of_every_field(made: Path) -> None:
    text = (made / "limbeck.json").read_text()
    paths = list(places(json.loads(text)))
    assert len(paths) > 60
    for path in paths:
        for junk in JUNK:
            original: Any = None

            def change(fields: Fields, path: Any = path, junk: Any = junk) -> None:
                nonlocal original
                place: Any = fields
                for step in path[:-1]:
                    place = place[step]
                original = place[path[-1]]
                place[path[-1]] = junk

            (made / "limbeck.json").write_text(text)
            samples.reseal(made, change)
            try:
                artifact.read(made, verify=False)
            except ArtifactError:
                continue
            numbers = type(original) is float and type(junk) in (int, float)
            allowed_null = junk is None and path[-1] in ("problem", "threshold", "dense")
            alike = type(junk) is type(original)
            assert numbers or allowed_null or alike, f"{path} took {junk!r} for {original!r}"


# --- specs that no model can have --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("spec.encoder.layers", 0), "layers must be in"),
        (put("spec.encoder.layers", 2**24 - 1), r"layers\.2\..* is missing"),
        (put("spec.encoder.layers", 2**63), "layers must be in"),
        (put("spec.encoder.hidden", 2**24 - 2), "has shape"),
        (put("spec.encoder.vocab", 2**24 - 1), "embeddings.word has shape"),
        (put("spec.encoder.heads", 3), "does not divide"),
        (put("spec.encoder.types", -1), "types must be in"),
        (put("spec.encoder.types", 0), "not part of this model: 'embeddings.type"),
        (put("spec.encoder.norm_eps", 0), "norm_eps"),
        (put("spec.encoder.norm_eps", -1e-12), "norm_eps"),
        (put("spec.encoder.pad_id", 19), "outside the vocabulary"),
        (put("spec.encoder.position_mode", "after_padding"), "carries 5"),
        (put("spec.encoder.architecture", "gpt"), "architecture must be"),
        (put("spec.task.max_tokens", 10**18), "encoder carries 6"),
        (put("spec.task.labels", []), "needs its labels"),
        (put("spec.task.labels", ["leak"]), "classifier.* has shape"),
        (put("spec.task.labels", ["a", "b", "c"]), "threshold names label"),
        (put("spec.task.head.kind", "token"), "needs a head of kind 'sequence'"),
        (put("spec.task.head.dense", None), "not part of this model: 'head.dense"),
        (put("spec.quant.precision", "fp32"), "must be F32"),
        (put("spec.quant.activations", "sometimes"), "activations must be"),
        (put("spec.quant.activations", "static"), "attention.range is missing"),
    ],
)
def test_specs(made: Path, change: Change, message: str) -> None:
    refused_resealed(made, change, message)


# --- the tensor table --------------------------------------------------------------------------

TABLE_ATTACKS: list[tuple[Change, str]] = [
    (lambda f: f["tensors"].remove(samples.entry(f, samples.DENSE)), "is missing"),
    (lambda f: f["tensors"].append(samples.entry(f, samples.DENSE)), "listed twice"),
    (put("tensors", []), "embeddings.word is missing"),
    (in_entry(samples.DENSE, "name", "../../etc/passwd"), "is missing"),
    (in_entry(samples.DENSE, "name", "layers.00.ffn.in.weight"), "is missing"),
    (in_entry(samples.DENSE, "name", "layers.0.ffn.in.weight\0"), "is missing"),
    (lambda f: f["tensors"].append(samples.entry(f, samples.DENSE) | {"name": "/x"}), "not part"),
    (in_entry(samples.DENSE, "shape", [8, 24]), r"has shape \[8, 24\]"),
    (in_entry(samples.DENSE, "shape", [24]), "has shape"),
    (in_entry(samples.DENSE, "shape", []), "has shape"),
    (in_entry(samples.DENSE, "shape", [24, 8, 1]), "has shape"),
    (in_entry(samples.DENSE, "shape", [-24, -8]), "has shape"),
    (in_entry(samples.DENSE, "shape", [2**32, 2**32]), "has shape"),
    (in_entry(samples.DENSE, "shape", [9] * 100_000), "has shape"),
    (in_entry(samples.DENSE, "dtype", "F32"), "in an int8 model it must be I8"),
    (in_entry(samples.DENSE, "dtype", "U8"), "dtype must be"),
    (in_entry(samples.DENSE, "dtype", "F64"), "dtype must be"),
    (in_entry("embeddings.position", "dtype", "I8"), "must be F32"),
    (in_entry(samples.DENSE, "encoding", "blocks"), "only there"),
    (in_entry(samples.DENSE, "encoding", "pickle"), "encoding must be"),
    (in_entry(samples.DENSE, "block", [4, 4]), "only there"),
    (in_entry("embeddings.word", "encoding", "blocks"), "stored as blocks"),
    (in_entry(samples.SPARSE, "encoding", "dense"), "only there"),
    (in_entry(samples.SPARSE, "block", None), "only there"),
    (in_entry(samples.SPARSE, "block", [0, 4]), "does not divide"),
    (in_entry(samples.SPARSE, "block", [-4, 4]), "does not divide"),
    (in_entry(samples.SPARSE, "block", [5, 4]), "does not divide"),
    (in_entry(samples.SPARSE, "block", [4, 2**62]), "does not divide"),
    (in_entry(samples.SPARSE, "block", [4]), "list of 2 integers"),
    (in_entry(samples.SPARSE, "block", [4, 4, 4]), "list of 2 integers"),
    (in_entry(samples.SPARSE, "block", [8, 4]), "must be"),
]


@pytest.mark.parametrize(("change", "message"), TABLE_ATTACKS)
def test_table(made: Path, change: Change, message: str) -> None:
    refused_resealed(made, change, message)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"values": samples.DENSE},
        {"values": samples.DENSE, "scale": f"{samples.DENSE}.scale", "bitmap": "x"},
        {"values": "../model.safetensors", "scale": f"{samples.DENSE}.scale"},
        {"values": "layers.1.ffn.out.weight", "scale": f"{samples.DENSE}.scale"},
        {"values": f"{samples.DENSE}.scale", "scale": samples.DENSE},
        {"VALUES": samples.DENSE, "scale": f"{samples.DENSE}.scale"},
    ],
)
def test_parts(made: Path, parts: dict[str, str]) -> None:
    refused_resealed(made, in_entry(samples.DENSE, "parts", parts), "names its parts wrongly")


def test_more_int8_inputs_than_sums_can_hold(made: Path) -> None:
    wide = MAX_INT8_INPUTS + 1

    def change(fields: Fields) -> None:
        fields["spec"]["encoder"]["ffn"] = wide
        for item in fields["tensors"]:
            item["shape"] = [wide if size == 24 else size for size in item["shape"]]
            if item["block"] is not None:
                item |= {"block": None, "encoding": "dense"}
                item["parts"] = {"values": item["name"], "scale": item["name"] + ".scale"}

    refused_resealed(made, change, f"{wide} inputs.*hold {MAX_INT8_INPUTS}")


@pytest.mark.parametrize("size", [0, 1, -1, 2**63, 2**70])
def test_sizes_of_files(made: Path, size: int) -> None:
    refused_resealed(made, put("files.weights.size_bytes", size), "truncated or from another")
    samples.reseal(made)
    refused_resealed(made, put("files.tokenizer.size_bytes", size), "truncated or from another")

"""What goes into an artifact comes out of it, as views, under one digest."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError
from limbeck.spec import EncoderSpec, ModelSpec, Precision, QuantSpec, TaskSpec
from limbeck.tensors import Tensor, expected_tensors


def same(first: Tensor, second: Tensor) -> bool:
    def equal(a: Any, b: Any) -> bool:
        if a is None or b is None:
            return a is b
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())

    return (
        first.shape == second.shape
        and first.block == second.block
        and equal(first.values, second.values)
        and equal(first.scale, second.scale)
        and equal(first.bitmap, second.bitmap)
    )


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("verify", [True, False])
def test_everything_comes_back(tmp_path: Path, precision: Precision, verify: bool) -> None:
    digest = samples.write(tmp_path / "a", precision)
    wanted = samples.weights(samples.spec(precision))
    with artifact.read(tmp_path / "a", verify=verify) as found:
        assert found.spec == samples.spec(precision)
        assert set(found.weights) == set(wanted)
        assert all(same(found.weights[name], wanted[name]) for name in wanted)
        assert found.lineage == samples.LINEAGE
        assert found.digest == digest
        assert found.tokenizer_bytes() == samples.TOKENIZER
        assert found.tokenizer_path.read_bytes() == samples.TOKENIZER
        files = ("limbeck.json", "model.safetensors", "tokenizer.json")
        assert found.size_bytes == sum((tmp_path / "a" / name).stat().st_size for name in files)


def test_sample_has_every_encoding() -> None:
    made = samples.weights(samples.spec())
    assert made[samples.SPARSE].block == (4, 4)
    assert 0 < made[samples.SPARSE].sparsity < 1
    assert made[samples.DENSE].is_int8
    assert not made["embeddings.position"].is_int8


def test_spec_without_head_and_options(tmp_path: Path) -> None:
    spec = ModelSpec(
        encoder=EncoderSpec(
            architecture="roberta",
            layers=1,
            hidden=4,
            heads=1,
            ffn=8,
            vocab=5,
            positions=9,
            norm_eps=1e-5,
            position_mode="after_padding",
            pad_id=1,
            activation="gelu_tanh",
        ),
        task=TaskSpec(
            task="sentence-embedding", max_tokens=7, pooling=("mean", "cls"), normalize=True
        ),
    )
    weights = {
        name: Tensor(shape=shape, values=np.ones(shape, dtype=np.float32))
        for name, shape, _ in expected_tensors(spec.encoder, None, 0)
    }
    artifact.write(tmp_path / "a", spec=spec, weights=weights, tokenizer_json=b"{}", lineage={})
    assert artifact.read(tmp_path / "a").spec == spec


def test_numbers_of_numpy_in_a_spec(tmp_path: Path) -> None:
    spec = samples.spec()
    object.__setattr__(spec.task.threshold, "value", np.float32(0.5))
    artifact.write(
        tmp_path / "a",
        spec=spec,
        weights=samples.weights(spec),
        tokenizer_json=samples.TOKENIZER,
        lineage={},
    )
    threshold = artifact.read(tmp_path / "a").spec.task.threshold
    assert threshold is not None
    assert type(threshold.value) is float


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    first, second = samples.write(tmp_path / "a"), samples.write(tmp_path / "b")
    assert first == second
    for name in ("limbeck.json", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_order_and_memory_layout_of_weights_do_not_matter(tmp_path: Path) -> None:
    spec = samples.spec()
    turned = {
        name: Tensor(
            shape=tensor.shape,
            values=np.asfortranarray(tensor.values),
            scale=None if tensor.scale is None else np.repeat(tensor.scale, 2)[::2],
            block=tensor.block,
            bitmap=tensor.bitmap,
        )
        for name, tensor in reversed(samples.weights(spec).items())
    }
    digest = artifact.write(
        tmp_path / "a",
        spec=spec,
        weights=turned,
        tokenizer_json=samples.TOKENIZER,
        lineage=samples.LINEAGE,
    )
    assert digest == samples.write(tmp_path / "b")


def test_digest_covers_weights_spec_tokenizer_but_not_lineage(tmp_path: Path) -> None:
    spec = samples.spec()
    given: dict[str, Any] = {
        "spec": spec,
        "weights": samples.weights(spec),
        "tokenizer_json": samples.TOKENIZER,
        "lineage": {},
    }
    digest = artifact.write(tmp_path / "a", **given)

    def changed(**options: Any) -> bool:
        return artifact.write(tmp_path / "b", **(given | options)) != digest

    assert not changed()
    assert not changed(lineage={"made": "elsewhere"})
    assert changed(weights=samples.weights(spec, seed=1))
    assert changed(tokenizer_json=samples.TOKENIZER + b"\n")
    object.__setattr__(spec.encoder, "norm_eps", 1e-6)
    assert changed()


def test_digest_is_the_one_that_the_page_describes(tmp_path: Path) -> None:
    digest = samples.write(tmp_path / "a")
    samples.reseal(tmp_path / "a")
    assert samples.document(tmp_path / "a")["digest"] == digest
    assert artifact.read(tmp_path / "a").digest == digest


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_official_library_reads_our_file(tmp_path: Path, precision: Precision) -> None:
    samples.write(tmp_path / "a", precision)
    loaded = load_file(tmp_path / "a" / "model.safetensors")
    with artifact.read(tmp_path / "a") as found:
        for name, tensor in found.weights.items():
            values = name if tensor.block is None else f"{name}.values"
            assert np.array_equal(loaded.pop(values), tensor.values)
            if tensor.scale is not None:
                assert np.array_equal(loaded.pop(f"{name}.scale"), tensor.scale)
            if tensor.bitmap is not None:
                assert np.array_equal(loaded.pop(f"{name}.bitmap"), tensor.bitmap)
    assert not loaded


def test_we_read_a_file_of_the_official_library(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    path = tmp_path / "a" / "model.safetensors"
    ours = path.read_bytes()
    save_file(load_file(path), path, metadata={"format": "np"})
    assert path.read_bytes() != ours
    samples.reseal(tmp_path / "a")
    wanted = samples.weights(samples.spec())
    with artifact.read(tmp_path / "a") as found:
        assert all(same(found.weights[name], wanted[name]) for name in wanted)


def test_parts_are_aligned(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    with artifact.read(tmp_path / "a") as found:
        arrays = [
            part
            for tensor in found.weights.values()
            for part in (tensor.values, tensor.scale, tensor.bitmap)
            if part is not None
        ]
        assert any(array.nbytes % 64 for array in arrays)
        for array in arrays:
            address = array.__array_interface__["data"][0]
            assert address % array.itemsize == 0
            if array.nbytes % 64 == 0:
                assert address % 64 == 0


def test_arrays_are_read_only_views_of_one_map(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    with artifact.read(tmp_path / "a") as found:
        for tensor in found.weights.values():
            assert isinstance(tensor.values.base, mmap.mmap)
            with pytest.raises(ValueError, match="read-only"):
                tensor.values[...] = 0


def test_views_outlive_close(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    found = artifact.read(tmp_path / "a")
    values = found.weights[samples.DENSE].values
    before = values.copy()
    found.close()
    found.close()
    found.release()
    del found
    gc.collect()
    assert np.array_equal(values, before)


def test_closed_artifact_says_so(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    found = artifact.read(tmp_path / "a")
    found.close()
    with pytest.raises(ArtifactError, match="closed"):
        _ = found.weights
    with pytest.raises(ArtifactError, match="closed"):
        found.tokenizer_bytes()


def test_closing_frees_the_files(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        artifact.read(tmp_path / "a").close()
    with pytest.raises(ArtifactError):
        artifact.read(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_memory_stays_flat_while_verifying_and_after_release(tmp_path: Path) -> None:
    spec = samples.spec("fp32")
    object.__setattr__(spec.encoder, "vocab", 2**21)  # [2**21, 8] f32: 64 MiB
    wide = samples.weights(samples.spec("fp32"))
    wide["embeddings.word"] = Tensor(shape=(2**21, 8), values=np.ones((2**21, 8), dtype=np.float32))
    artifact.write(tmp_path / "a", spec=spec, weights=wide, tokenizer_json=b"{}", lineage={})
    del wide
    gc.collect()
    start = _resident_bytes()
    with artifact.read(tmp_path / "a") as found:
        assert _resident_bytes() - start < 24 * 2**20
        table = found.weights["embeddings.word"].values
        assert float(table.max()) == 1.0
        assert _resident_bytes() - start > 60 * 2**20, "touching the table brings it in"
        found.release()
        assert _resident_bytes() - start < 24 * 2**20
        assert float(table.min()) == 1.0, "views stay valid"


def test_blocks_of_nothing_but_zeros(tmp_path: Path) -> None:
    spec = samples.spec()
    weights = samples.weights(spec)
    zero = Tensor(
        shape=(24, 8), values=np.zeros((24, 8), np.int8), scale=np.ones(24, dtype=np.float32)
    )
    weights[samples.SPARSE] = artifact.encode_blocks(zero, (8, 4))
    artifact.write(tmp_path / "a", spec=spec, weights=weights, tokenizer_json=b"{}", lineage={})
    with artifact.read(tmp_path / "a") as found:
        tensor = found.weights[samples.SPARSE]
        assert tensor.values.shape == (0, 32)
        assert tensor.sparsity == 1.0
        assert not tensor.dense().any()
    load_file(tmp_path / "a" / "model.safetensors")


def test_int8_embeddings_in_an_fp32_model(tmp_path: Path) -> None:
    spec = ModelSpec(
        encoder=samples.spec().encoder,
        task=samples.spec().task,
        quant=QuantSpec(precision="fp32"),
    )
    weights = samples.weights(spec)
    weights["embeddings.word"] = samples.weights(samples.spec())["embeddings.word"]
    artifact.write(tmp_path / "a", spec=spec, weights=weights, tokenizer_json=b"{}", lineage={})
    assert artifact.read(tmp_path / "a").weights["embeddings.word"].is_int8


def test_is_artifact(tmp_path: Path) -> None:
    samples.write(tmp_path / "a")
    assert artifact.is_artifact(tmp_path / "a")
    assert artifact.is_artifact(str(tmp_path / "a"))
    (tmp_path / "link").symlink_to("a")
    assert artifact.is_artifact(tmp_path / "link")
    assert not artifact.is_artifact(tmp_path)
    assert not artifact.is_artifact(tmp_path / "nothing")
    assert not artifact.is_artifact(tmp_path / "a" / "limbeck.json")
    assert not artifact.is_artifact("a\0b")


def test_directory_may_be_reached_through_a_link(tmp_path: Path) -> None:
    samples.write(tmp_path / "v1")
    (tmp_path / "current").symlink_to("v1")
    assert artifact.read(tmp_path / "current").spec == samples.spec()


def test_reading_imports_nothing_heavy() -> None:
    heavy = ("safetensors", "torch", "tokenizers", "shutil", "ctypes.util", "difflib")
    code = f"import sys, limbeck.artifact; print([m for m in {heavy!r} if m in sys.modules])"
    bare = "import sys, numpy; print([m for m in {heavy!r} if m in sys.modules])"
    run = {"check": True, "capture_output": True, "text": True}
    ours = subprocess.run([sys.executable, "-c", code], **run).stdout  # type: ignore[call-overload]
    numpys = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-c", bare.replace("{heavy!r}", repr(heavy))], **run
    ).stdout
    assert ours == numpys

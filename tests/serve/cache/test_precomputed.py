"""Files of vectors: looked up bit by bit, refused when damaged or of another model."""

from __future__ import annotations

import contextlib
import json
import os
import random
import struct

import numpy as np
import pytest
from safetensors import safe_open

import limbeck
from limbeck.errors import ArtifactError, InputError
from limbeck.serve.cache import Cache, Hit, Keys, Lead
from limbeck.serve.cache.precomputed import header, is_ours, read
from limbeck.serve.cache.writing import writing

TEXTS = [
    f"the {word} is {other}" for word in ("boat", "cat", "train") for other in ("small", "old")
]


@pytest.fixture(scope="module")
def pipe(zoo):
    return limbeck.pipeline("sentence-embedding", str(zoo("bert", "feature-extraction")))


@pytest.fixture(scope="module")
def keys(pipe):
    return Keys(pipe)


@pytest.fixture
def path(tmp_path, pipe, keys):
    target = tmp_path / "a.vectors"
    vectors = pipe(TEXTS)
    with writing(target, keys, vectors.shape[1]) as file:
        key_of = keys.under()
        file.add([key_of(text) for text in TEXTS], list(vectors), list(range(3, 3 + len(TEXTS))))
    return target


def test_looked_up_bit_by_bit(path, pipe, keys):
    cache = Cache(0, prepared=[read(path)])
    key_of = keys.under()
    for number, text in enumerate(TEXTS):
        found = cache.claim(key_of(text), 0.0)
        assert isinstance(found, Hit)
        assert found.value.tobytes() == pipe(text).tobytes()
        assert (found.value.dtype, found.value.shape) == (np.float32, pipe(text).shape)
        assert found.tokens == number + 3
        assert not found.value.flags.writeable
    assert isinstance(cache.claim(key_of("unknown"), 0.0), Lead)
    stats = cache.stats
    assert (stats.prepared_hits, stats.hits, stats.misses) == (len(TEXTS), 0, 1)
    assert (stats.prepared, stats.size_bytes) == (len(TEXTS), 0)


def test_for_every_tenant_and_not_for_other_options(path, keys):
    cache = Cache(1 << 20, prepared=[read(path)])
    assert isinstance(cache.claim(keys.under(tenant="acme")(TEXTS[0]), 0.0), Hit)
    other = keys.under({"max_length": 4})
    assert isinstance(cache.claim(other(TEXTS[0]), 0.0), Lead)


def test_prepared_files_are_exchanged_while_in_use(path, keys):
    cache = Cache(1 << 20, prepared=[read(path)])
    found = cache.claim(keys.under()(TEXTS[0]), 0.0)
    cache.prepare([])
    assert isinstance(cache.claim(keys.under()(TEXTS[0]), 0.0), Lead)
    assert np.isfinite(found.value).all()  # the map lives as long as its views


def test_other_tools_can_read_it(path, pipe):
    with safe_open(path, "np") as file:
        assert set(file.keys()) == {"vectors", "tokens", "rows", "keys"}
        np.testing.assert_array_equal(file.get_tensor("vectors"), pipe(TEXTS))
        assert file.metadata()["format"] == "limbeck-embeddings-1"


def test_keys_with_one_beginning(tmp_path, keys):
    """The search compares eight bytes; the rest decides."""
    same = [b"12345678" + bytes([number]) * 12 for number in range(5)]
    others = [bytes([number]) * 20 for number in (0, 255)]
    made = [*same, *others]
    random.Random(1).shuffle(made)
    with writing(tmp_path / "a", keys, 2) as file:
        file.add(made, [np.array([n, -n], np.float32) for n in range(len(made))], [1] * len(made))
    found = read(tmp_path / "a")
    assert len(found) == len(made)
    for number, key in enumerate(made):
        np.testing.assert_array_equal(found.find(key).value, [number, -number])
    for absent in (b"12345678" + b"\x09" * 12, b"12345678" + b"\xff" * 12, b"5" * 20):
        assert found.find(absent) is None


def test_any_flipped_bit_is_found(path):
    whole = path.read_bytes()
    rng = random.Random(7)
    places = [*range(24), *(rng.randrange(len(whole)) for _ in range(250)), len(whole) - 1]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        # Where nothing depends on it: names of other metadata, such as our version.
        unread = 24 <= place < 8 + struct.unpack("<Q", whole[:8])[0]
        with contextlib.suppress(ArtifactError) if unread else pytest.raises(ArtifactError):
            read(path)


@pytest.mark.parametrize("left", [0, 1, 8, 100, -1])
def test_cut_short_or_too_long(path, left):
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    with pytest.raises(ArtifactError, match=r"cut short|no file that"):
        read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ArtifactError, match="bytes where"):
        read(path)


def _with_header(path, change):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    entries = json.loads(raw[8 : 8 + length])
    change(entries)
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (length - len(text))
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("vectors"),
        lambda it: it.pop("__metadata__"),
        lambda it: it["vectors"].update(shape=[1, 2, 3]),
        lambda it: it["vectors"].update(shape=[2**40, 2**40]),
        lambda it: it["vectors"].update(shape=[-1, 8]),
        lambda it: it["vectors"].update(shape="ab"),
        lambda it: it["keys"].update(data_offsets=[0, 20]),
        lambda it: it.update(more={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
        lambda it: it["__metadata__"].update(format="limbeck-embeddings-9"),
        lambda it: it["__metadata__"].update(computed="[]"),
        lambda it: it["__metadata__"].update(computed="{}"),
        lambda it: it["__metadata__"].update(options="7"),
        lambda it: it["__metadata__"].update(sha256="0"),
        lambda it: it["__metadata__"].pop("sha256"),
    ],
)
def test_hostile_headers(path, change):
    _with_header(path, change)
    with pytest.raises(ArtifactError):
        read(path)


@pytest.mark.parametrize("content", [b"", b"text,a\nb,c\n", b"\xff" * 4096, b"\x10" + b"\0" * 99])
def test_other_files(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ArtifactError, match="no file that limbeck embed wrote"):
        read(tmp_path / "a")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot open"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no regular file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"):
        read(tmp_path / "pipe")


def test_keys_out_of_order(path, pipe):
    """Somebody wrote it on purpose: the sum is right, the order is not."""
    import hashlib

    raw = bytearray(path.read_bytes())
    size = 20 * len(TEXTS)
    part = [bytes(raw[len(raw) - size :][place : place + 20]) for place in range(0, size, 20)]
    raw[len(raw) - size :] = b"".join(reversed(part))
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    path.write_bytes(raw)
    digest = hashlib.sha256(raw[start:]).hexdigest()
    _with_header(path, lambda it: it["__metadata__"].update(sha256=digest))
    with pytest.raises(ArtifactError, match="out of order"):
        read(path)


def test_whose_file_it_is(path, zoo, pipe, keys):
    found = read(path)
    other = Keys(limbeck.pipeline("sentence-embedding", str(zoo("roberta", "feature-extraction"))))
    found.check([other, keys])
    with pytest.raises(InputError, match="computed by the model"):
        found.check([other])
    with pytest.raises(InputError, match="no model is loaded"):
        found.check([])
    directory = str(zoo("bert", "feature-extraction"))
    small = limbeck.pipeline("sentence-embedding", directory, precision="int8")
    with pytest.raises(InputError, match="with quant"):
        found.check([Keys(small)])
    with pytest.raises(InputError, match="with task"):
        found.check([Keys(limbeck.pipeline("feature-extraction", directory))])
    with pytest.raises(InputError, match="runtime limbeck"):
        found.check([Keys(pipe, runtime="onnxruntime")])
    shorter = limbeck.pipeline("sentence-embedding", directory, max_length=9)
    with pytest.raises(InputError, match="max_length=None"):
        found.check([Keys(shorter)])
    found.check([Keys(limbeck.pipeline("sentence-embedding", directory, batch_size=2))])


def _interrupted():
    yield b"a" * 20
    raise KeyboardInterrupt


def test_written_whole_or_not_at_all(path, keys, tmp_path, monkeypatch):
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with pytest.raises(KeyboardInterrupt), writing(path, keys, 2) as file:
        file.add(_interrupted(), [np.zeros(2, np.float32)] * 2, [1, 1])
    with pytest.raises(InputError, match="NaN"), writing(path, keys, 2) as file:
        file.add([b"a" * 20], [np.array([1, np.nan], np.float32)], [1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"), writing(path, keys, 2) as file:
            file.add([b"a" * 20], [np.zeros(2, np.float32)], [1])
    with writing(path, keys, 2):
        pass  # nothing was added
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
    with writing(path, keys, 2) as file:
        file.add([b"a" * 20], [np.zeros(2, np.float32)], [1])
    assert len(read(path)) == 1
    assert os.listdir(tmp_path) == [path.name]


def test_other_peoples_files_are_not_replaced(tmp_path, keys):
    (tmp_path / "a.csv").write_text("precious")
    for target, said in (
        (tmp_path / "a.csv", "did not write it"),
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "a", "no directory"),
    ):
        with pytest.raises(InputError, match=said), writing(target, keys, 2):
            raise AssertionError
    assert (tmp_path / "a.csv").read_text() == "precious"


def test_is_ours(path, tmp_path):
    assert is_ours(path)
    path.write_bytes(path.read_bytes()[:100])  # a damaged one may be replaced
    assert is_ours(path)
    assert not is_ours(tmp_path / "nowhere")


def test_the_header_is_aligned():
    for size in (0, 100, 4096, 4097):
        made = header({"format": "x"}, 12345, 384, size=size)
        assert len(made) % 64 == 0
        assert len(made) >= size

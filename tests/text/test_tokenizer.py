"""The tokenizer against the raw library: cutting, windows, offsets, bad input, threads."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RawTokenizer

from limbeck.errors import InputError, ModelError
from limbeck.text import Encoded, Tokenizer
from limbeck.text.precut import boundary_from, cuts_at_spaces
from tokenizer_files import KINDS, hard_texts, raw, tokenizer_json

TOKENIZERS = {kind: Tokenizer.from_bytes(tokenizer_json(kind)) for kind in KINDS}
kinds = pytest.mark.parametrize("kind", KINDS)


def columns(encoded: Encoded) -> dict[str, list[object]]:
    return {
        "ids": list(encoded.ids),
        "type_ids": list(encoded.type_ids),
        "offsets": list(encoded.offsets),
        "special": list(encoded.special),
        "word_ids": list(encoded.word_ids),
        "sequence_ids": list(encoded.sequence_ids),
    }


def expected(encoding: object) -> dict[str, list[object]]:
    return {
        "ids": encoding.ids,
        "type_ids": encoding.type_ids,
        "offsets": encoding.offsets,
        "special": [bool(flag) for flag in encoding.special_tokens_mask],
        "word_ids": encoding.word_ids,
        "sequence_ids": encoding.sequence_ids,
    }


@kinds
def test_the_files_own_truncation_and_padding_are_dropped(kind: str) -> None:
    text = "the harbour " * 100
    [long, short] = TOKENIZERS[kind].encode([text, "key"], max_tokens=None)
    assert len(long) == len(raw(kind).encode(text)) > 200
    assert len(short) == len(raw(kind).encode("key")) < 12


@kinds
@settings(max_examples=150, deadline=None)
@given(text=hard_texts, max_tokens=st.integers(2, 40))
def test_cut_singles_equal_the_librarys_truncation(kind: str, text: str, max_tokens: int) -> None:
    reference = raw(kind)
    full = len(reference.encode(text))
    reference.enable_truncation(max_tokens)
    [encoded] = TOKENIZERS[kind].encode([text], max_tokens=max_tokens)
    assert columns(encoded) == expected(reference.encode(text))
    assert len(encoded) == len(encoded.ids)
    assert encoded.truncated == (full > max_tokens)


@kinds
@settings(max_examples=150, deadline=None)
@given(first=hard_texts, second=hard_texts, max_tokens=st.integers(4, 40))
@example(first="the key " * 30, second="the key " * 30, max_tokens=25)
@example(first="the key " * 31, second="the key " * 30, max_tokens=25)
@example(first="", second="the key " * 30, max_tokens=25)
@example(first="the key " * 30, second="", max_tokens=25)
@example(first="the key " * 30, second="the key " * 30, max_tokens=4)
def test_cut_pairs_equal_the_librarys_longest_first(
    kind: str, first: str, second: str, max_tokens: int
) -> None:
    reference = raw(kind)
    full = len(reference.encode(first, second))
    reference.enable_truncation(max_tokens, strategy="longest_first")
    [encoded] = TOKENIZERS[kind].encode([first], [second], max_tokens=max_tokens)
    assert columns(encoded) == expected(reference.encode(first, second))
    assert encoded.truncated == (full > max_tokens)


@kinds
@settings(max_examples=100, deadline=None)
@given(text=hard_texts, max_tokens=st.integers(6, 30), stride=st.integers(0, 3))
@example(text="the key " * 30, max_tokens=10, stride=7)
def test_windows_equal_the_librarys_overflowing_parts(
    kind: str, text: str, max_tokens: int, stride: int
) -> None:
    reference = raw(kind)
    reference.enable_truncation(max_tokens, stride=stride)
    encoding = reference.encode(text)
    windows = TOKENIZERS[kind].windows(text, max_tokens=max_tokens, stride=stride)
    assert [columns(window) for window in windows] == [
        expected(part) for part in [encoding, *encoding.overflowing]
    ]


@kinds
def test_windows_cover_every_token_and_share_the_stride(kind: str) -> None:
    text = " ".join(f"key {number} harbour" for number in range(200))
    [whole] = TOKENIZERS[kind].encode([text], max_tokens=None)
    windows = TOKENIZERS[kind].windows(text, max_tokens=32, stride=5)
    bodies = [window.ids[1:-1] for window in windows]
    rebuilt = bodies[0] + [token for body in bodies[1:] for token in body[5:]]
    assert rebuilt == whole.ids[1:-1]
    assert all(len(body) == 30 for body in bodies[:-1])
    for left, right in itertools.pairwise(bodies):
        assert left[-5:] == right[:5]
    assert windows[0].span[0] == 0
    assert windows[-1].span[1] == len(text)


def test_the_span_is_that_of_the_text_not_of_its_pair() -> None:
    [encoded] = TOKENIZERS["wordpiece"].encode([" the key"], ["the quiet harbour"], max_tokens=None)
    assert encoded.span == (1, 8)


def test_left_truncation_keeps_the_end() -> None:
    reference = raw("wordpiece")
    reference.enable_truncation(9, direction="left")
    tokenizer = Tokenizer.from_bytes(reference.to_str().encode())
    text, pair = "the quiet flat is five minutes from the harbour", "don't ring the bell after ten"
    [single] = tokenizer.encode([text], max_tokens=9)
    assert columns(single) == expected(reference.encode(text))
    [both] = tokenizer.encode([text], [pair], max_tokens=9)
    assert columns(both) == expected(reference.encode(text, pair))
    assert text.endswith(text[single.span[0] : single.span[1]])


def test_a_tokenizer_without_special_tokens() -> None:
    data = json.loads(tokenizer_json("wordpiece"))
    data["post_processor"] = None
    tokenizer = Tokenizer.from_bytes(json.dumps(data).encode())
    reference = RawTokenizer.from_str(json.dumps(data))
    reference.no_padding()
    for limit in (1, 3, 6, 40):
        reference.enable_truncation(limit)
        [single] = tokenizer.encode(["the quiet flat is old"], max_tokens=limit)
        assert columns(single) == expected(reference.encode("the quiet flat is old"))
        [pair] = tokenizer.encode(["the quiet flat"], ["is old"], max_tokens=limit)
        assert columns(pair) == expected(reference.encode("the quiet flat", "is old"))
    [empty] = tokenizer.encode([""], max_tokens=4)
    assert empty.ids == []


@kinds
def test_offsets_count_characters_not_bytes(kind: str) -> None:
    text = "😀 Müller 👩‍👩‍👧 שלום key"
    [encoded] = TOKENIZERS[kind].encode([text], max_tokens=None)
    start, end = encoded.offsets[-2]
    assert text[start:end].strip().endswith(("key", "y", "ey"))
    assert encoded.span[1] == len(text)
    assert encoded.offsets[0] == encoded.offsets[-1] == (0, 0)


@kinds
def test_an_empty_text_is_its_special_tokens(kind: str) -> None:
    [encoded] = TOKENIZERS[kind].encode([""], max_tokens=8)
    assert encoded.ids == raw(kind).encode("").ids
    assert all(encoded.special)
    assert encoded.span == (0, 0)
    assert len(TOKENIZERS[kind].windows("", max_tokens=8, stride=2)) == 1
    assert TOKENIZERS[kind].encode([], max_tokens=8) == []


@kinds
def test_bad_texts_are_refused_alike(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    with pytest.raises(InputError, match=r"text 1 has a lone surrogate U\+D83D at character 5"):
        tokenizer.encode(["fine", "cut: \ud83d"], max_tokens=8)
    with pytest.raises(InputError, match=r"second text 0 .* U\+DE00 at character 0"):
        tokenizer.encode(["fine"], ["\ude00"], max_tokens=8)
    with pytest.raises(InputError, match="surrogate"):
        tokenizer.windows("x\udfff", max_tokens=8, stride=0)
    for wrong in (None, 3, b"bytes", ["list"]):
        with pytest.raises(InputError, match="must be a str"):
            tokenizer.encode([wrong], max_tokens=8)  # type: ignore[list-item]
    with pytest.raises(InputError, match="decode"):
        tokenizer.encode([b"bytes"], max_tokens=8)  # type: ignore[list-item]
    with pytest.raises(InputError, match="list of texts"):
        tokenizer.encode("one text", max_tokens=8)
    with pytest.raises(InputError, match="2 texts but 1"):
        tokenizer.encode(["a", "b"], ["c"], max_tokens=8)
    with pytest.raises(InputError, match="special tokens"):
        tokenizer.encode(["a"], max_tokens=1)
    with pytest.raises(InputError, match="integer"):
        tokenizer.encode(["a"], max_tokens=8.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="stride"):
        tokenizer.windows("a", max_tokens=8, stride=6)
    with pytest.raises(InputError, match="stride"):
        tokenizer.windows("a", max_tokens=8, stride=-1)
    with pytest.raises(InputError, match="room"):
        tokenizer.windows("a", max_tokens=2, stride=0)


def test_a_lone_surrogate_far_behind_the_cut_is_still_refused() -> None:
    with pytest.raises(InputError, match="surrogate"):
        TOKENIZERS["wordpiece"].encode(["the key " * 20_000 + "\ud800"], max_tokens=16)


@kinds
def test_nul_bytes_do_not_end_the_text(kind: str) -> None:
    [encoded] = TOKENIZERS[kind].encode(["the\0key harbour"], max_tokens=None)
    assert encoded.ids == raw(kind).encode("the\0key harbour").ids
    assert encoded.span[1] == len("the\0key harbour")


def test_damaged_files_are_model_errors(tmp_path: Path) -> None:
    for data in (b"", b"{}", b"not json", b"\xff\xfe", b"[]", b'{"model": {"type": "Nope"}}'):
        with pytest.raises(ModelError, match="no tokenizer file"):
            Tokenizer.from_bytes(data)
    with pytest.raises(ModelError, match="cannot read"):
        Tokenizer.from_file(tmp_path / "absent.json")


def test_tokens_and_joining() -> None:
    tokenizer = TOKENIZERS["wordpiece"]
    [encoded] = tokenizer.encode(["the harbour, quiet"], max_tokens=None)
    tokens = [tokenizer.token(index) for index in encoded.ids[1:-1]]
    assert tokenizer.join(tokens) == "the harbour, quiet"
    assert tokenizer.token(tokenizer.unknown_id or -1) == "[UNK]"
    assert tokenizer.subword_prefix == "##"
    assert TOKENIZERS["byte_level"].subword_prefix is None
    assert tokenizer.special_tokens() == 2
    assert tokenizer.special_tokens(pair=True) == 3
    with pytest.raises(InputError, match="outside"):
        tokenizer.token(10**6)


@kinds
@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(hard_texts, min_size=1, max_size=4),
    separators=st.lists(
        st.sampled_from([" ", "  ", "", ". ", "\n", " a "]), min_size=4, max_size=4
    ),
    repeat=st.integers(200, 900),
    max_tokens=st.integers(2, 60),
)
def test_a_cut_before_tokenising_changes_nothing(
    kind: str, pieces: list[str], separators: list[str], repeat: int, max_tokens: int
) -> None:
    unit = "".join(piece + mark for piece, mark in zip(pieces, separators, strict=False))
    text = (unit + "the key ") * repeat
    reference = raw(kind)
    reference.enable_truncation(max_tokens)
    [encoded] = TOKENIZERS[kind].encode([text], max_tokens=max_tokens)
    assert columns(encoded) == expected(reference.encode(text))
    assert encoded.truncated


@kinds
def test_very_long_texts_are_cut_before_they_are_tokenised(kind: str) -> None:
    text = "The quiet flat is five minutes from the old harbour. " * 20_000
    tokenizer = TOKENIZERS[kind]
    tokenizer.encode(["warm up"], max_tokens=8)
    start = time.perf_counter()
    [encoded] = tokenizer.encode([text], max_tokens=128)
    took = time.perf_counter() - start
    assert len(encoded) == 128
    assert encoded.truncated
    start = time.perf_counter()
    [whole] = tokenizer.encode([text], max_tokens=None)
    assert whole.ids[:127] == encoded.ids[:127]
    # A ratio, not a limit in seconds: tokenising all of it does about 400 times the work.
    assert took < (time.perf_counter() - start) / 10


def test_texts_mixed_with_very_long_ones_keep_their_order() -> None:
    tokenizer = TOKENIZERS["wordpiece"]
    long = "the quiet harbour " * 5000
    texts = ["key", long, "flat", "北" * 20_000, long + "x", ""]
    together = tokenizer.encode(texts, max_tokens=16)
    alone = [tokenizer.encode([text], max_tokens=16)[0] for text in texts]
    assert [one.ids for one in together] == [one.ids for one in alone]


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": ""}},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Split", "pattern": {"String": "x"}, "behavior": "Removed",
                           "invert": False}},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                           "split": False}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                           "use_regex": False}},
        {"added_tokens": [{"id": 7, "content": "two words", "single_word": False, "lstrip": False,
                           "rstrip": False, "normalized": False, "special": False}]},
    ],
)  # fmt: skip
def test_only_tokenizers_that_split_at_spaces_are_cut_before(change: dict[str, object]) -> None:
    data = json.loads(tokenizer_json("wordpiece"))
    assert cuts_at_spaces(RawTokenizer.from_str(json.dumps(data)))
    assert not cuts_at_spaces(RawTokenizer.from_str(json.dumps({**data, **change})))


def test_cuts_are_at_lone_spaces_between_letters() -> None:
    assert boundary_from("ab cd", 0) == 2
    assert boundary_from("ab cd", 3) is None
    for text in ("ab  cd", "ab, cd", "é e", "a é", "a\tb", "", " a", "a "):
        assert boundary_from(text, 0) is None


def test_eight_threads_share_one_tokenizer() -> None:
    tokenizer = Tokenizer.from_bytes(tokenizer_json("wordpiece"))
    texts = [f"the key {n} of the quiet harbour " * (n % 7 + 1) for n in range(50)]
    limits = [4, 9, 17, None]
    answers = {m: [one.ids for one in tokenizer.encode(texts, max_tokens=m)] for m in limits}
    failures: list[object] = []

    def work(seed: int) -> None:
        try:
            for turn in range(12):
                limit = limits[(seed + turn) % 4]
                found = [one.ids for one in tokenizer.encode(texts, max_tokens=limit)]
                if found != answers[limit]:
                    failures.append((seed, turn))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_tokenising_starts_no_threads_and_releases_the_gil(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer_json("wordpiece"))
    code = f"""
import os, threading, time
from limbeck.text import Tokenizer
tokenizer = Tokenizer.from_file({str(path)!r})
before = len(os.listdir("/proc/self/task"))
tokenizer.encode(["the key"] * 200, max_tokens=8)
assert len(os.listdir("/proc/self/task")) == before, "tokenizers started threads"
text = "the quiet harbour, " * 20_000
for call in (
    lambda: tokenizer.encode([text], max_tokens=None),
    lambda: tokenizer.encode([text], [text], max_tokens=9),
    lambda: tokenizer.windows(text, max_tokens=1000, stride=0),
):
    done = threading.Event()
    thread = threading.Thread(target=lambda: (call(), done.set()))
    pauses, last = [], time.perf_counter()
    thread.start()
    while not done.is_set():
        now = time.perf_counter()
        pauses.append(now - last)
        last = now
    thread.join()
    assert len(pauses) > 1000 and max(pauses) < 0.6 * sum(pauses), (len(pauses), max(pauses))
"""
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)

"""CoNLL columns, good and bad."""

from __future__ import annotations

import gzip

import pytest

from limbeck.data import read_conll
from limbeck.errors import InputError

TEXT = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

# newdoc id = 7
Anna NNP B-NP B-PER
Berg NNP I-NP I-PER
. . O O
"""


def test_sentences(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(TEXT)
    first, second = read_conll(path)
    assert (first.words, first.tags, first.line) == (("EU", "rejects"), ("B-ORG", "O"), 3)
    assert (second.words, second.tags) == (("Anna", "Berg", "."), ("B-PER", "I-PER", "O"))
    assert [one.tags for one in read_conll(path, tag_column=1)] == [
        ("NNP", "VBZ"),
        ("NNP", "NNP", "."),
    ]
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(TEXT.replace(" ", "\t").replace("#\t", "# ").encode()))
    assert [one.words for one in read_conll(packed)] == [first.words, second.words]


def test_a_word_may_hold_a_space_where_tabs_part_columns(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("New York\tB-LOC\nis\tO")
    [one] = read_conll(path)
    assert one.words == ("New York", "is")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("alone", "1 columns; a word and its tag need 2"),
        ("a\t", "the tag is empty"),
        ("\tO", "the word is empty"),
        ("caf\udce9 O", "not UTF-8"),
    ],
)
def test_a_bad_sentence_is_named_and_left_out(tmp_path, line, problem):
    path = tmp_path / "a.conll"
    path.write_text(f"good O\n\nfine O\n{line}\n\nlast O\n", errors="surrogateescape")
    told = []
    found = list(read_conll(path, report=told.append))
    assert [one.words for one in found] == [("good",), ("last",)]
    assert told == [f"{path}:4: {problem}"] or (problem in told[0] and ":4: " in told[0])
    with pytest.raises(InputError, match=":4: "):
        list(read_conll(path))


def test_columns_that_are_not_there(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a O\n")
    with pytest.raises(InputError, match="2 columns; a word and its tag need 4"):
        list(read_conll(path, tag_column=3))
    path.write_text("\n\n-DOCSTART- O\n")
    with pytest.raises(InputError, match="has no sentences"):
        list(read_conll(path))
    with pytest.raises(InputError, match="is not there"):
        list(read_conll(tmp_path / "b.conll"))

"""CoNLL columns, good and bad."""

from __future__ import annotations

import gzip

import pytest

from limbeck.data import read_conll, read_tagged
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


CONLLU = """# sent_id = 1
# text = Vámonos al mar.
1-2	Vámonos	_	_	_	_	_	_	_	_
1	Vamos	ir	VERB	VB	Mood=Imp	0	root	_	_
2	nos	nosotros	PRON	PP	Case=Acc	1	obj	_	_
3-4	al	_	_	_	_	_	_	_	_
3	a	a	ADP	IN	_	5	case	_	_
#4	odd	_	_	_	_	_	_	_	_
4	el	el	DET	DT	_	5	det	_	_
5	mar	mar	NOUN	NN	_	1	obl	_	_
5.1	gone	go	VERB	VB	_	_	_	_	_

# sent_id = 2
1	#	#	SYM	SY	_	0	root	_	_
"""


def test_conllu_by_its_ending(tmp_path):
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU)
    first, second = read_tagged(path)
    assert first.words == ("Vamos", "nos", "a", "el", "mar")
    assert first.tags == ("VERB", "PRON", "ADP", "DET", "NOUN")
    assert (second.words, second.tags) == (("#",), ("SYM",))
    (tmp_path / "es.conllu.gz").write_bytes(gzip.compress(CONLLU.encode()))
    first, _ = read_tagged(tmp_path / "es.conllu.gz", word_column="3", tag_column="5")
    assert first.words == ("ir", "nosotros", "a", "el", "mar")
    assert first.tags == ("VB", "PP", "IN", "DT", "NN")


def test_columns_by_number(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(TEXT)
    first, _ = read_tagged(path)
    assert first.tags == ("B-ORG", "O")
    first, _ = read_tagged(path, tag_column="2")
    assert (first.words, first.tags) == (("EU", "rejects"), ("NNP", "VBZ"))
    first, _ = read_tagged(path, word_column="2", tag_column="3")
    assert (first.words, first.tags) == (("NNP", "VBZ"), ("B-NP", "B-VP"))
    with pytest.raises(InputError, match=":3: 4 columns; a word and its tag need 7"):
        list(read_tagged(path, tag_column="7"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"word_column": "tokens"}, "give --text-column a number, 1 is the first, or leave it out"),
        ({"tag_column": "ner"}, "give --label-column a number, .* found 'ner'"),
        ({"tag_column": "0"}, "found '0'"),
        ({"tag_column": "-1"}, "found '-1'"),
        ({"word_column": "2", "tag_column": "2"}, "column 2 cannot be the words and the tags"),
    ],
)
def test_columns_that_make_no_sense(tmp_path, columns, message):
    path = tmp_path / "train.txt"
    path.write_text(TEXT)
    with pytest.raises(InputError, match=message):
        read_tagged(path, **columns)


def test_numbers_are_not_taken_for_words(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(
        "1 Anna NNP B-PER\n2 runs VB O\n\n1 No DT O\n\n1-2 both _ O\n1 a X O\n2 b X O\n"
    )
    with pytest.raises(InputError, match=r"counts the words .* by --text-column .* \.conllu"):
        next(read_tagged(path))
    first, *_ = read_tagged(path, word_column="2")
    assert (first.words, first.tags) == (("Anna", "runs"), ("B-PER", "O"))
    assert len(list(read_tagged(path, word_column="1"))) == 3
    path.write_text("0 a O\n1 b O\n")
    with pytest.raises(InputError, match="counts the words"):
        list(read_tagged(path))
    path.write_text("1 O\n2 O\n3 O\n\nAnna B-PER\n")
    assert [one.words for one in read_tagged(path)] == [("1", "2", "3"), ("Anna",)]
    path.write_text("1 B-NUM\n\n1 B-NUM\n")
    assert len(list(read_tagged(path))) == 2

"""Readers: formats, columns, streaming, and every kind of bad row told by file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from limbeck import data
from limbeck.errors import InputError


def _write(path, text):
    opener = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = [("one, two", "a"), ('say "three"\nfour', "b"), ("fünf 五 👋", "a"), ("", "b")]
CSV = 'id,text,label\n1,"one, two",a\n2,"say ""three""\nfour",b\n3,fünf 五 👋,a\n4,,b\n'


def _jsonl():
    return "".join(
        json.dumps({"id": n, "text": text, "label": label}) + "\n"
        for n, (text, label) in enumerate(ROWS, start=1)
    )


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "ndjson", "json", "jsonl.gz"])
def test_formats_give_the_same_rows(tmp_path, ending):
    text = CSV if ending.startswith("csv") else _jsonl()
    path = _write(tmp_path / f"rows.{ending}", text)
    rows = list(data.read_rows(path, label_column="label", keep=["id"]))
    assert [(row.text, row.label) for row in rows] == ROWS
    assert [str(row.extra["id"]) for row in rows] == ["1", "2", "3", "4"]
    assert all(row.pair is None for row in rows)


def test_lines_count_quoted_breaks(tmp_path):
    rows = list(data.read_rows(_write(tmp_path / "a.csv", CSV)))
    assert [row.line for row in rows] == [2, 3, 5, 6]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    table = pyarrow.table(
        {
            "text": pyarrow.array([text for text, _ in ROWS] * 600),
            "label": pyarrow.array([1, 0, None, 1] * 600),
            "other": pyarrow.array([b"\xff"] * 2400),
        }
    )
    parquet.write_table(table, path, row_group_size=700)
    rows = list(data.read_rows(path, label_column="label"))
    assert len(rows) == 2400
    assert [row.label for row in rows[:4]] == ["1", "0", None, "1"]
    assert rows[-1].line == 2400
    with pytest.raises(InputError, match=r"'missing'.*'text', 'label', 'other'"):
        data.read_rows(path, text_column="missing")
    _write(tmp_path / "no.parquet", "these are words, not pages of columns")
    with pytest.raises(InputError, match=r"no\.parquet cannot be read as Parquet"):
        data.read_rows(tmp_path / "no.parquet")
    whole = path.read_bytes()
    (tmp_path / "bad.parquet").write_bytes(whole[:4] + bytes(3000) + whole[3004:])
    with pytest.raises(InputError, match=r"bad\.parquet"):
        list(data.read_rows(tmp_path / "bad.parquet"))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(tmp_path, separator):
    path = _write(tmp_path / "a.csv", f"label{separator}review\n1{separator}fine, really\n")
    (row,) = data.read_rows(path, label_column="label")
    assert (row.text, row.label) == ("fine, really", "1")


def test_byte_order_mark_and_windows_lines(tmp_path):
    path = _write(tmp_path / "a.csv", b"\xef\xbb\xbftext,label\r\nhello,1\r\n\r\nworld,0\r\n")
    assert [(row.text, row.label) for row in data.read_rows(path, label_column="label")] == [
        ("hello", "1"),
        ("world", "0"),
    ]
    path = _write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "hello"}\r\n\r\n{"text": "you"}')
    assert [row.text for row in data.read_rows(path)] == ["hello", "you"]


def test_plain_lines(tmp_path):
    path = _write(tmp_path / "a.txt", "one\n\nthree, and more\r\nno end")
    assert [(row.line, row.text) for row in data.read_rows(path)] == [
        (1, "one"),
        (2, ""),
        (3, "three, and more"),
        (4, "no end"),
    ]
    with pytest.raises(InputError, match="no columns"):
        list(data.read_rows(path, label_column="label"))


def test_columns_are_found_by_their_usual_names(tmp_path):
    path = _write(tmp_path / "a.csv", "Label,Sentence,Comment\n1,first,second\n")
    assert next(data.read_rows(path)).text == "first"
    path = _write(tmp_path / "b.csv", "words\nonly\n")
    assert next(data.read_rows(path)).text == "only"
    path = _write(tmp_path / "c.csv", "words,others\nonly,this\n")
    with pytest.raises(InputError, match=r"c\.csv: no column looks like the text.*--text-column"):
        next(data.read_rows(path))
    assert next(data.read_rows(path, text_column="others")).text == "this"
    path = _write(tmp_path / "d.jsonl", '{"a": "x", "b": "y"}\n')
    with pytest.raises(InputError, match="no column looks like the text"):
        next(data.read_rows(path))


def test_pairs(tmp_path):
    path = _write(tmp_path / "a.jsonl", '{"text": "a", "text_pair": "b", "label": 4.5}\n')
    (row,) = data.read_rows(path, pair_column="text_pair", label_column="label")
    assert (row.text, row.pair, row.label) == ("a", "b", "4.5")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *(("1", "1"), ("1.0", "1"), ("-2.5", "-2.5"), ("true", "true"), ('" spam "', "spam")),
        *(("null", None), ('""', None)),
    ],
)
def test_labels_as_text(tmp_path, value, label):
    path = _write(tmp_path / "a.jsonl", f'{{"text": "x", "label": {value}}}\n')
    assert next(data.read_rows(path, label_column="label")).label == label


def test_label_map(tmp_path):
    path = _write(tmp_path / "a.csv", "text,label\nx,0\ny,1\nz,2\n")
    told: list[str] = []
    names = {"0": "clean", "1": "leak"}
    rows = data.read_rows(path, label_column="label", label_map=names, report=told.append)
    assert [row.label for row in rows] == ["clean", "leak"]
    assert told == [f"{path}:4: label '2' is not one of ['0', '1']"]


BAD_JSONL = [
    ("{broken", "not JSON"),
    ("[1, 2]", "a JSON list, not an object"),
    ('{"text": 5}', "'text' is int '5', not text"),
    ('{"text": null}', "'text' is missing"),
    ('{"other": "x"}', "there is no 'text'"),
    ('{"text": "\\ud800"}', "not UTF-8 at character 0"),
    ('{"text": "x", "label": [1]}', "'label' is list"),
    ('{"text": "x", "label": NaN}', "'label' is nan"),
    ("[" * 100_000, "nested too deeply"),
]


def test_every_bad_row_is_told_by_file_and_line(tmp_path):
    lines = ['{"text": "fine", "label": 1}']
    for bad, _ in BAD_JSONL:
        lines += [bad, '{"text": "fine", "label": 0}']
    path = _write(tmp_path / "mixed.jsonl", "\n".join(lines))
    told: list[str] = []
    rows = list(data.read_rows(path, text_column="text", label_column="label", report=told.append))
    assert len(rows) == len(BAD_JSONL) + 1
    assert len(told) == len(BAD_JSONL)
    for number, (message, (_, problem)) in enumerate(zip(told, BAD_JSONL, strict=True)):
        assert message.startswith(f"{path}:{2 * number + 2}: ")
        assert problem in message
    taken: list[data.Row] = []
    with pytest.raises(InputError) as caught:
        taken.extend(data.read_rows(path, text_column="text", label_column="label"))
    assert len(taken) == len(rows), "good rows come first"
    assert str(caught.value) == "\n".join(told)


def test_bad_csv_rows(tmp_path):
    text = b'text,label\nfine,1\ntoo,many,fields\nfew\n"open ""quote" x,1\ncaf\xe9,1\nlast,0\n'
    path = _write(tmp_path / "a.csv", text)
    told: list[str] = []
    rows = list(data.read_rows(path, label_column="label", report=told.append))
    assert [row.text for row in rows] == ["fine", "last"]
    assert [message.split(":")[1] for message in told] == ["3", "4", "5", "6"]
    assert "3 fields where the header has 2" in told[0]
    assert "save the file as UTF-8" in told[3]


def test_many_bad_rows_are_counted_not_listed(tmp_path):
    path = _write(tmp_path / "a.jsonl", '{"text": "x"}\n' + "no\n" * 90)
    with pytest.raises(InputError, match=r"\.\.\. and 70 more bad rows") as caught:
        list(data.read_rows(path))
    assert len(str(caught.value).splitlines()) == 21


def test_a_file_of_another_kind_is_given_up_early(tmp_path):
    path = _write(tmp_path / "a.jsonl", "words\n" * 10_000)
    told: list[str] = []
    with pytest.raises(InputError, match="none of the first 100 rows is good"):
        list(data.read_rows(path, text_column="text", report=told.append))
    assert len(told) == 100


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "has no header line"),
        ("a.csv", "\n\n", "has no header line"),
        ("a.csv", "text,text\nx,y\n", "there 2 times"),
        ("a.jsonl", '[{"text": "x"}]', "one JSON array"),
        ("a.xml", "<x/>", "does not tell the format"),
        ("noending", "x", "does not tell the format"),
        ("a.csv.gz", "not gzip at all", None),
    ],
)
def test_unusable_files(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message or "breaks off after line 0"):
        list(data.read_rows(path))


def test_absent_and_directory(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        data.read_rows(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a directory"):
        data.read_rows(tmp_path)


def test_truncated_gzip(tmp_path):
    import random

    rng = random.Random(0)
    text = "".join(json.dumps({"text": str(rng.random())}) + "\n" for _ in range(5000))
    whole = gzip.compress(text.encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    taken: list[data.Row] = []
    with pytest.raises(InputError, match=r"a\.jsonl\.gz breaks off after line \d{3,}"):
        taken.extend(data.read_rows(path))
    assert len(taken) > 1000


def test_reading_streams(tmp_path):
    """A row is given before the next one is read."""

    class Slow(io.StringIO):
        read_lines = 0

        def __next__(self):
            Slow.read_lines += 1
            return super().__next__()

    file = Slow("".join(f'{{"text": "{n}"}}\n' for n in range(1000)))
    rows = data.read_stream(file, "stream", "jsonl")
    assert next(rows).text == "0"
    assert Slow.read_lines < 5
    with pytest.raises(InputError, match="needs a file"):
        data.read_stream(file, "stream", "parquet")


def test_one_long_field(tmp_path):
    long = "word " * 200_000
    path = _write(tmp_path / "a.csv", f"text\n{long}\n")
    assert next(data.read_rows(path)).text == long
    assert next(data.read_rows(_write(tmp_path / "nul.csv", b"text\na\x00b\n"))).text == "a\x00b"


def _tsv(path, *rows, header="id\ttext\tlabel"):
    return _write(path, "\n".join((header, *rows)) + "\n")


PLAIN = [
    '0\t"We\'re very pleased," he said\t1',  # a field begins with a quote and goes on
    '1\t" Open at the front\t0',
    "2\tno quote at all\t1",
    '3\tThe 6" pipe and the "Gem\t1',
    '4\t"All of it."\t0',
    '5\t"open again\t1',
    '6\tand shut"\t0',
]


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz", "txt.csv"])
def test_quotes_in_tsv_mean_nothing(tmp_path, ending):
    path = _tsv(tmp_path / f"dev.{ending}", *PLAIN)
    rows = list(data.read_rows(path, label_column="label"))
    assert [row.text for row in rows] == [one.split("\t")[1] for one in PLAIN]
    assert [row.line for row in rows] == list(range(2, 9))


def test_a_quote_that_another_row_shuts_swallows_nothing(tmp_path):
    path = _tsv(tmp_path / "dev.tsv", '0\t"What is x?\t1', '1\tIt is "y"\t0', '2\tz"\t1')
    assert len(list(data.read_rows(path, label_column="label"))) == 3
    path = _tsv(tmp_path / "dev.tsv", '0\t"What is x?\t1', '1\tIt is y"\t1')
    assert [row.text for row in data.read_rows(path)] == ['"What is x?', 'It is y"']


def test_bad_rows_of_plain_tsv_by_line(tmp_path):
    path = _tsv(tmp_path / "dev.tsv", *PLAIN[:2], "too few", *PLAIN[2:], '7\t"many\tof\tthem')
    told: list[str] = []
    assert len(list(data.read_rows(path, report=told.append))) == len(PLAIN)
    assert told == [
        f"{path}:4: 1 fields where the header has 3",
        f"{path}:10: 4 fields where the header has 3",
    ]


@pytest.mark.parametrize("texts", [
    ["a\tb", "plain"], ["a\nb", "plain"], ['say "three"', "plain"], ['"', "x\ty\nz", ""],
    ["plain", 'a "b"\tc', "tail\n"],
])  # fmt: skip
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("columns", [1, 3])
def test_tsv_that_was_written_with_quotes(tmp_path, texts, quoting, columns):
    path = tmp_path / "rows.tsv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=quoting)
        writer.writerows([["text", "id", "label"][:columns]])
        writer.writerows([text, n, "a"][:columns] for n, text in enumerate(texts))
    wanted = [text for text in texts if text or columns > 1 or quoting != csv.QUOTE_MINIMAL]
    assert [row.text for row in data.read_rows(path)] in (texts, wanted)


def test_one_bad_row_does_not_unquote_the_others(tmp_path):
    path = _tsv(tmp_path / "a.tsv", '0\t"a\tb"\tx', "bad", '1\t"say ""c"""\ty')
    told: list[str] = []
    assert [row.text for row in data.read_rows(path, report=told.append)] == ["a\tb", 'say "c"']
    assert told == [f"{path}:3: 1 fields where the header has 3"]


def test_tsv_in_a_stream_is_read_once():
    class Pipe(io.StringIO):
        def seekable(self):
            return False

    rows = data.read_stream(Pipe('text\tn\n"open\t1\n"shut"\t2\n'), "stream", "csv")
    assert [row.text for row in rows] == ['"open', '"shut"']
    rows = data.read_stream(Pipe('"text"\t"n"\n"a\tb"\t"2"\n'), "stream", "csv")
    assert [row.text for row in rows] == ["a\tb"]


def test_tsv_that_breaks_off(tmp_path):
    text = "text\tn\n" + "".join(f'"{n * 7919}\t{n}\n' for n in range(9000))
    whole = gzip.compress(text.encode())
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.tsv\.gz breaks off after line \d{3,}"):
        list(data.read_rows(path))


def test_a_file_without_a_header(tmp_path):
    path = _write(tmp_path / "a.tsv", 'x, y, z, and\t1\n"open\t0\n')
    rows = data.read_rows(path, text_column="said", label_column="ok", header=["said", "ok"])
    assert [(row.line, row.text, row.label) for row in rows] == [
        (1, "x, y, z, and", "1"),
        (2, '"open', "0"),
    ]
    with pytest.raises(InputError, match="TSV without a header line alone"):
        data.read_rows(_write(tmp_path / "a.jsonl", "{}"), header=["said"])

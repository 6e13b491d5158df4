"""A trimmed vocabulary: what stays, equal answers where all pieces stayed, and the way back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as RawTokenizer

import models
from limbeck import artifact, huggingface, load, runtimes
from limbeck.cli.main import run
from limbeck.errors import InputError, ModelError
from limbeck.text import Tokenizer
from tokenizer_files import tokenizer_json

pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import checkpoint
from limbeck.forge.export import export
from limbeck.forge.quantize.vocabulary import as_ranges, original_ids, trim

pytestmark = pytest.mark.torch

SHAPE = models.Shape(layers=2, hidden=48, heads=4, ffn=96, positions=64)
TEXTS = ["the view from the old house was great !", "we walked in the rain", "a house, the sea."]


def test_what_stays(zoo: Callable[..., Path], tmp_path: Path) -> None:
    source = zoo("bert", "text-classification", shape=SHAPE)
    old = RawTokenizer.from_file(str(source / "tokenizer.json")).get_vocab()
    held_out = ["the great mountain", "we walk"]
    report = trim(source, tmp_path / "made", TEXTS, held_out=held_out)
    new = RawTokenizer.from_file(str(tmp_path / "made" / "tokenizer.json")).get_vocab()
    kept = original_ids(report.kept)
    back = {place: piece for piece, place in old.items()}
    assert [back[one] for one in kept] == sorted(new, key=lambda piece: new[piece])
    for piece in [*models.SPECIALS, *"abz019.!?", "##a", "##9", "house", "view", "##ed"]:
        assert piece in new, piece
    for piece in ("mountain", "winter", "##ing"):
        assert piece in old
        assert piece not in new
    assert report.entries == len(new) < report.entries_before == len(old)
    assert report.mb == pytest.approx(len(new) * (48 + 4) / 1e6)
    assert report.mb_before == pytest.approx(len(old) * (48 + 4) / 1e6)
    # "mountain" is one token of five, and is spelled now
    assert report.changed == pytest.approx(1 / 5)
    assert report.unknown == 0
    tokenizer = Tokenizer.from_directory(tmp_path / "made")
    (row,) = tokenizer.encode(["the mountain"], max_tokens=None)
    assert tokenizer.unknown_id not in row.ids
    noted = json.loads((tmp_path / "made" / "vocabulary.json").read_text())
    assert original_ids(noted["kept"]) == kept
    # embedding rows moved along
    before, after = huggingface.read(source), huggingface.read(tmp_path / "made")
    assert np.array_equal(
        after.weights["embeddings.word"].values, before.weights["embeddings.word"].values[kept]
    )
    assert after.spec.encoder.vocab == len(kept)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_equal_answers_where_all_pieces_stayed(
    zoo: Callable[..., Path], tmp_path: Path, architecture: str
) -> None:
    source = zoo(architecture, "text-classification", shape=SHAPE)
    made = tmp_path / "made"
    report = trim(source, made, TEXTS)
    first, second = runtimes.open_source(source), runtimes.open_source(made)
    assert second.spec.encoder.pad_id == original_ids(report.kept).index(first.spec.encoder.pad_id)
    others = ["the rain was great", "we walked from the house to the sea"]
    others = [one for one in others if "to" not in one.split()] + TEXTS
    answers = []
    for opened, directory in ((first, source), (second, made)):
        tokenizer = opened.tokenizer()
        ids = [list(row.ids) for row in tokenizer.encode(others, TEXTS[:1] * 4, max_tokens=None)]
        model = load(directory, precision="fp32", threads=1)
        answers.append(model.forward(ids, output="logits"))
    assert answers[0].tobytes() == answers[1].tobytes()
    # transformers reads the directory too, token by token: export compares the two
    exported = export(made, tmp_path / "artifact")
    assert exported.report.passed
    again = checkpoint.load(made).save(tmp_path / "again")
    assert (again / "vocabulary.json").read_bytes() == (made / "vocabulary.json").read_bytes()


def test_the_rarest_go_first(zoo: Callable[..., Path], tmp_path: Path) -> None:
    source = zoo("bert", "text-classification", shape=SHAPE)
    texts = ["house house house view"] * 10 + ["mountain"]
    entries = {}
    for share in (1.0, 0.95, 0.2):
        made = tmp_path / str(share)
        entries[share] = trim(source, made, texts, keep_share=share).entries
        vocabulary = RawTokenizer.from_file(str(made / "tokenizer.json")).get_vocab()
        assert ("mountain" in vocabulary) == (share == 1.0)
        assert ("view" in vocabulary) == (share > 0.5)
        assert "[CLS]" in vocabulary
    assert entries[1.0] == entries[0.95] + 1 == entries[0.2] + 2 + ("house" not in vocabulary)


def test_a_directory_with_vocab_txt_and_ids_in_its_settings(
    zoo: Callable[..., Path], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(zoo("bert", "text-classification", shape=SHAPE), source)
    old = RawTokenizer.from_file(str(source / "tokenizer.json")).get_vocab()
    pieces = sorted(old, key=lambda piece: old[piece])
    # a piece that single characters cannot spell stays, and a special token may stand anywhere
    (source / "vocab.txt").write_text("\n".join([*pieces, "\u4f60\u597d", "[X]"]) + "\n")
    (source / "tokenizer.json").unlink()
    settings = json.loads((source / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "BertTokenizer"
    settings["added_tokens_decoder"] = {
        str(len(old) + 1): {"content": "[X]", "special": True},
    }
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    config = json.loads((source / "config.json").read_text())
    config |= {"vocab_size": len(old) + 2, "eos_token_id": len(old) + 1, "bos_token_id": None}
    (source / "config.json").write_text(json.dumps(config))
    from safetensors.numpy import load_file, save_file

    arrays = load_file(source / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    arrays[name] = np.concatenate([arrays[name], arrays[name][:2]])
    save_file(arrays, source / "model.safetensors", metadata={"format": "pt"})

    made = tmp_path / "made"
    report = trim(source, made, TEXTS)
    written = (made / "vocab.txt").read_text().split("\n")[:-1]
    assert len(written) == report.entries
    assert written[-2:] == ["\u4f60\u597d", "[X]"]
    last = report.entries - 1
    assert [*json.loads((made / "tokenizer_config.json").read_text())["added_tokens_decoder"]] == [
        str(last)
    ]
    config = json.loads((made / "config.json").read_text())
    assert (config["eos_token_id"], config["bos_token_id"]) == (last, None)


def test_what_cannot_be_trimmed(zoo: Callable[..., Path], tmp_path: Path) -> None:
    source = zoo("bert", "text-classification", shape=SHAPE)
    with pytest.raises(InputError, match="keep_share"):
        trim(source, tmp_path / "a", TEXTS, keep_share=0.0)
    with pytest.raises(InputError, match="there are none"):
        trim(source, tmp_path / "a", [])
    for kind, named in (("byte_level", "BPE"), ("unigram", "Unigram")):
        other = tmp_path / kind
        shutil.copytree(source, other)
        (other / "tokenizer.json").write_bytes(tokenizer_json(kind))
        with pytest.raises(ModelError, match=f"of kind {named}; vocabularies are trimmed of Word"):
            trim(other, tmp_path / "a", TEXTS)
    assert not (tmp_path / "a").exists()
    for bad in ("", "1-x", "a"):
        with pytest.raises(InputError, match="is no list of ids"):
            original_ids(bad)
    assert as_ranges([0, 1, 2, 7, 9, 10]) == "0-2,7,9-10"
    assert original_ids("0-2,7,9-10") == [0, 1, 2, 7, 9, 10]


def test_on_the_command_line(
    zoo: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = zoo("bert", "text-classification", shape=SHAPE)
    draw = np.random.default_rng(0)
    words = [*TEXTS[0].split()[:-1], "walk", "rain", "sea"]
    with (tmp_path / "rows.jsonl").open("w") as file:
        for _ in range(40):
            text = " ".join(draw.choice(words, 8))
            label = models.SEQUENCE_LABELS[draw.integers(3)]
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    rows, out = str(tmp_path / "rows.jsonl"), tmp_path / "out"
    call = ["quantize", str(source), "-d", rows, "-o", str(out), "--max-drop", "30"]
    assert run([*call, "--trim-vocabulary", rows]) == 0
    shown = capsys.readouterr().out
    assert "0.00% of the rows' tokens are split otherwise, 0 more are unknown" in shown
    with artifact.read(out) as stored:
        noted = stored.lineage["vocabulary"]
        assert stored.spec.encoder.vocab == noted["entries"] == len(original_ids(noted["kept"]))
        assert noted["entries"] < noted["entries_before"]
    assert run([*call, "--keep-share", "0.5"]) == 2

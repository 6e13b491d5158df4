"""What speaks against sample texts, and that export says it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck import artifact, runtimes
from limbeck.cli.main import run
from limbeck.errors import InputError

pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge.export import export
from limbeck.forge.quantize.sample import look_at

pytestmark = pytest.mark.torch

GOOD = ["the view from the old house was great " * 3, "we walk in the rain . " * 4]


def test_figures_and_what_speaks_against(zoo: Callable[..., Path]) -> None:
    tokenizer = runtimes.open_source(zoo("bert", "text-classification")).tokenizer()
    found = look_at(tokenizer, GOOD, 32)
    assert found.texts == 2
    assert found.unknown == 0
    assert found.pieces_per_word == 1.0
    assert found.mean_tokens == (24 + 2 + 24 + 2) / 2
    assert found.longest == 26
    assert found.cut == 0
    assert found.warnings == ()

    other = look_at(tokenizer, ["die aussicht aus dem alten haus hat mir sehr gefallen"], 32)
    assert other.pieces_per_word > 2
    assert "pieces a word (usual" in other.warnings[0]
    strange = look_at(tokenizer, ["日本 the view", "the view " * 9], 32)
    assert strange.unknown == pytest.approx(2 / (4 + 18))
    assert strange.warnings[0].endswith("another language, or not text?")
    assert "9.1%" in strange.warnings[0]
    assert strange.pieces_per_word == 1.0  # a script without spaces says nothing about words
    assert math.isnan(look_at(tokenizer, ["日本"], 32).pieces_per_word)

    long = look_at(tokenizer, [*GOOD, "the view"], 16)
    assert long.cut == pytest.approx(2 / 3)
    assert "67% of the texts are longer than 16 tokens" in long.warnings[0]
    short = look_at(tokenizer, ["the view"], 17)
    assert "the longest text has 4 tokens and the model reads up to 17" in short.warnings[0]
    with pytest.raises(InputError, match="at least one text"):
        look_at(tokenizer, [], 16)


def test_export_notes_observer_and_sample(zoo: Callable[..., Path], tmp_path: Path) -> None:
    directory = zoo("bert", "text-classification")
    widths = {}
    for observer in ("minmax", "percentile"):
        out = tmp_path / observer
        made = export(directory, out, calibrate=GOOD, observer=observer)
        assert "the longest text has 26 tokens" in made.warnings[0]  # of 160
        with artifact.read(out) as stored:
            noted = stored.lineage["calibration"]
            assert noted["observer"] == observer
            assert noted["texts"] == 2
            widths[observer] = float(stored.weights["layers.1.ffn.out.range"].values[1])
    assert widths["percentile"] < widths["minmax"]
    with pytest.raises(InputError, match="observer 'median'"):
        export(directory, tmp_path / "no", calibrate=GOOD, observer="median")
    assert not (tmp_path / "no").exists()


def test_convert(
    zoo: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in GOOD))
    call = ["convert", str(zoo("bert", "text-classification")), "-o", str(tmp_path / "out")]
    assert run([*call, "--calibrate", str(data), "--observer", "mse"]) == 0
    assert "limbeck: texts to calibrate with: the longest text has" in capsys.readouterr().err
    assert run([*call, "--calibrate", str(data), "--observer", "median"]) == 2
    assert "one of minmax, percentile, mse" in capsys.readouterr().err

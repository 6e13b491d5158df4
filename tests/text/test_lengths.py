"""Where models cut, and what another maximum would cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.errors import InputError, ModelError
from limbeck.spec import EncoderSpec
from limbeck.text import length_statistics, resolve_max_tokens

ENCODER = EncoderSpec(
    architecture="bert", layers=2, hidden=8, heads=2, ffn=16, vocab=50, positions=512
)


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "expected"),
    [
        (None, None, 512),
        (None, {"model_max_length": 384}, 384),
        (None, {"model_max_length": 1000000000000000019884624838656}, 512),
        (None, {"model_max_length": 1e30}, 512),
        (None, {"model_max_length": float("inf")}, 512),
        (None, {"model_max_length": 100000}, 512),
        ({"max_seq_length": 256}, {"model_max_length": 384}, 256),
        ({"max_seq_length": None}, {"model_max_length": 384}, 384),
        ({"do_lower_case": False}, None, 512),
        ({"max_seq_length": 700}, None, 512),
    ],
)
def test_where_a_directory_cuts(
    tmp_path: Path,
    sentence: dict[str, object] | None,
    tokenizer: dict[str, object] | None,
    expected: int,
) -> None:
    if sentence is not None:
        (tmp_path / "sentence_bert_config.json").write_text(json.dumps(sentence))
    if tokenizer is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert resolve_max_tokens(tmp_path, 512) == expected


@pytest.mark.parametrize("value", [0, -5, "256", True, [1], float("nan")])
def test_senseless_maxima_are_refused(tmp_path: Path, value: object) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": value}))
    with pytest.raises(ModelError, match="model_max_length"):
        resolve_max_tokens(tmp_path, 512)


def test_report_against_written_out_arithmetic() -> None:
    lengths = [10] * 90 + [100] * 9 + [1000]
    report = length_statistics(lengths, ENCODER)
    assert (report.texts, report.longest, report.mean) == (100, 1000, 28.0)
    assert dict(report.percentiles) == {50: 10, 75: 10, 90: 10, 95: 100, 99: 100, 100: 1000}
    assert report.rows[-1].max_tokens == 512
    assert report.rows[-1].cost_saved == 0.0
    assert report.proposal.max_tokens == 128  # the smallest candidate that cuts only 1 of 100
    assert report.proposal.truncated == 0.01
    [row] = [row for row in report.rows if row.max_tokens == 16]
    assert row.truncated == pytest.approx(0.10)
    assert row.tokens_kept == pytest.approx((900 + 9 * 16 + 16) / 2800)

    def cost(length: int) -> float:
        projections = 4 * length * 8 * 8
        ffn = 2 * length * 8 * 16
        attention = 2 * length * length * 8
        return 2 * (projections + ffn + attention)

    full = 90 * cost(10) + 9 * cost(100) + cost(512)
    cut = 90 * cost(10) + 10 * cost(16)
    assert row.cost_saved == pytest.approx(1 - cut / full)


def test_the_proposal_follows_its_options() -> None:
    lengths = [10] * 90 + [100] * 9 + [1000]
    assert length_statistics(lengths, ENCODER, max_truncated=0.2).proposal.max_tokens == 16
    assert length_statistics(lengths, ENCODER, max_truncated=0.0).proposal.max_tokens == 512
    report = length_statistics(lengths, ENCODER, candidates=[99, 101, 900])
    assert [row.max_tokens for row in report.rows] == [99, 101, 512]
    assert report.proposal.max_tokens == 101
    with pytest.raises(InputError, match="no texts"):
        length_statistics([], ENCODER)
    with pytest.raises(InputError, match="at least 1"):
        length_statistics([3, 0], ENCODER)
    with pytest.raises(InputError, match="max_truncated"):
        length_statistics([3], ENCODER, max_truncated=1.5)
    with pytest.raises(InputError, match="positive"):
        length_statistics([3], ENCODER, candidates=[0])

"""Tables come from rows, from the latest run alone, and a stale one is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from limbeck import measure
from limbeck.bench import tables
from limbeck.errors import InputError

README = "before\n<!-- rows:engine -->\nold\n<!-- /rows -->\nafter\n"


def row(subject: str, value: float, *, run: str = "r1", **extra: float) -> measure.Row:
    return measure.Row(
        run=run,
        benchmark="engine",
        subject=subject,
        workload={"model": "m", "batch": 1, "tokens": 128, "output": "logits"},
        unit="ms",
        value=value,
        low=value - 1,
        high=value + 1,
        repeats=3,
        threads=2,
        isa="avx2" if subject.startswith("limbeck") else "",
        extra={"error_logits": 0.01, **extra},
        versions={"limbeck": "0.1.0"},
        commit="c0ffee",
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    file = tmp_path / "results" / "engine.jsonl"
    speed = {"speed": 1.52, "speed_low": 1.41, "speed_high": 1.63}
    measure.append_rows(file, [row("limbeck int8", 99.0, run="old")])
    measure.append_rows(file, [row("limbeck int8", 7.25, **speed), row("onnxruntime int8", 11.5)])
    return file.parent


def test_table_shows_the_latest_run(results: Path) -> None:
    filled = tables.fill(README, results)
    assert filled.startswith("before\n<!-- rows:engine -->\n")
    assert filled.endswith("<!-- /rows -->\nafter\n")
    assert "old" not in filled
    assert "99.0" not in filled
    assert (
        "| 1 x 128 | logits | 2 | 7.2 (6.2–8.2) | 11.5 (10.5–12.5) | **1.52** (1.41–1.63) |"
        in filled
    )
    for fact in ("limbeck int8 1.0e-02", "avx2", "c0ffee", "limbeck 0.1.0"):
        assert fact in filled
    assert tables.fill(filled, results) == filled


def test_columns_and_cells_agree(results: Path) -> None:
    lines = [line for line in tables.fill(README, results).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_check_notices_a_stale_table_and_writes_nothing(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = results.parent / "README.md"
    readme.write_text(README, encoding="utf-8")
    command = [str(readme), "--results", str(results)]
    assert tables.main([*command, "--check"]) == 1
    assert "make tables" in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == README
    assert tables.main(command) == 0
    assert tables.main([*command, "--check"]) == 0
    measure.append_row(results / "engine.jsonl", row("limbeck int8", 5.0, run="newer"))
    assert tables.main([*command, "--check"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- rows:nonsense -->\n<!-- /rows -->\n", "no table 'nonsense'"),
        ("<!-- rows:engine -->\n", "lacks its"),
        ("<!-- rows:startup -->\n<!-- /rows -->\n", "make bench"),
    ],
)
def test_markers_that_cannot_be_filled_are_errors(
    results: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = results.parent / "README.md"
    readme.write_text(text, encoding="utf-8")
    assert tables.main([str(readme), "--results", str(results)]) == 1
    assert said in capsys.readouterr().err


def detector(subject: str, run: str, texts: str, *, quick: int = 0, **extra: float) -> measure.Row:
    figures = {"precision": 0.5, "recall": 0.25, "f1": 0.333, "auc": 0.9, "calibration_error": 0.1}
    facts = {"false_alarm_rate": 0.001, "positives": 10, "negatives": 90, "total_s": 300.0}
    return measure.Row(
        run=run,
        benchmark="demo",
        subject=subject,
        workload={"tokens": 512, "batch": 1, "texts": texts, "quick": quick},
        unit="ms",
        value=4.0,
        low=3.0,
        high=5.0,
        p99=6.0,
        repeats=12,
        extra={**figures, **facts, "recall_at_rate": 0.125, **extra},
        commit="c0ffee",
    )


def test_demo_table_takes_the_latest_whole_run_of_each_kind_of_texts(tmp_path: Path) -> None:
    measure.append_rows(
        tmp_path / "demo.jsonl",
        [
            detector("rules", "r1", "given descriptions", f1=0.111),
            detector("rules", "r2", "given descriptions", f1=0.222),
            detector(
                "student", "r2", "given descriptions", size_mb=12.34, long_of=20, long_found=19
            ),
            detector("student", "r3", "our own grammar", unseen_recall_at_rate=0.75),
            detector("student", "r4", "our own grammar", quick=1, f1=0.999),
        ],
    )
    filled = tables.fill("<!-- rows:demo -->\n<!-- /rows -->\n", tmp_path)
    assert "0.111" not in filled
    assert "0.999" not in filled
    assert (
        "| rules | 0.500 | 0.250 | 0.222 | 0.9000 | 0.125 | – | 0.1000 | 4.0 | 6.0 | – |" in filled
    )
    assert "| 4.0 | 6.0 | 12.3 |" in filled
    assert "recall at 0.1%" in filled
    assert (
        "Of 20 texts of 2,000 words with a leak in the last sentence the student finds 19" in filled
    )
    own = filled[filled.index("Our own grammar") :]
    assert "0.750" in own
    assert "5.0 minutes" in own


def test_quick_runs_of_the_demo_make_no_table(tmp_path: Path) -> None:
    measure.append_rows(tmp_path / "demo.jsonl", [detector("student", "r1", "texts", quick=1)])
    with pytest.raises(InputError, match="only quick runs"):
        tables.fill("<!-- rows:demo -->\n<!-- /rows -->\n", tmp_path)


def ours(
    subject: str, run: str, batch: int, speed: float, rival: str, **extra: float
) -> measure.Row:
    spread = {"speed": speed, "speed_low": speed - 0.1, "speed_high": speed + 0.1}
    return measure.Row(
        run=run,
        benchmark="peers",
        subject=subject,
        workload={"model": "m", "batch": batch, "tokens": 32, "output": "hidden", "rounds": 9},
        unit="ms",
        value=2.0,
        low=1.0,
        high=3.0,
        repeats=9,
        threads=2,
        extra={"rival": rival, "rival_ms": 4.25, **spread, **extra},
        commit=f"commit-of-{run}",
    )


def test_peer_table_takes_each_point_from_the_last_run_that_has_it(tmp_path: Path) -> None:
    sparse = {"sparse_rival_ms": 6.5, "sparse_speed": 2.2}
    sparse |= {"sparse_speed_low": 2.1, "sparse_speed_high": 2.3}
    four = ours("limbeck int8 4x4", "r1", 8, 3.25, "ov int8", **sparse)
    four = replace(four, extra={**four.extra, "sparse_rival": "deepsparse int8 4x4"})
    measure.append_rows(
        tmp_path / "peers.jsonl",
        [
            ours("limbeck int8", "r1", 1, 9.99, "ort int8"),
            ours("limbeck int8", "r1", 8, 1.5, "ov int8"),
            four,
            ours("limbeck int8", "r2", 1, 1.25, "ct2 int8"),
        ],
    )
    filled = tables.fill("<!-- rows:peers -->\n<!-- /rows -->\n", tmp_path)
    assert "9.99" not in filled
    assert "| 1 x 32 | 2 | ct2 int8, 4.2 | – | **1.25** (1.15–1.35) | – | – | – | – | – |" in filled
    assert (
        "| 8 x 32 | 2 | ov int8, 4.2 | – | **1.50** (1.40–1.60) | **3.25** (3.15–3.35) | – | 6.5 | "
        "**2.20** (2.10–2.30) | – |" in filled
    )
    assert "commit commit-of-r1 and commit-of-r2" in filled
    lines = [line for line in filled.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_peer_tables_keep_cpus_apart(tmp_path: Path) -> None:
    here = ours("limbeck int8", "r1", 1, 1.5, "ov int8")
    there = replace(
        ours("limbeck int8", "r2", 1, 1.25, "ct2 int8"),
        machine=replace(here.machine, cpu="Another CPU"),
    )
    measure.append_rows(tmp_path / "peers.jsonl", [here, there])
    filled = tables.fill("<!-- rows:peers -->\n<!-- /rows -->\n", tmp_path)
    first, second = filled.split("on Another CPU:")[1].split(f"on {here.machine.cpu}:")
    assert "**1.25**" in first
    assert "commit-of-r2" in first
    assert "**1.50**" in second
    assert "commit-of-r2" not in second


def test_the_peer_table_says_what_the_multipliers_allow(tmp_path: Path) -> None:
    """Per token 6 * (4 * 768^2 + 2 * 768 * 3072) = 42,467,328 products: at 1,000 GOP/s on each of
    two threads 0.0425 ms, and 8 x 32 of them 10.87 ms.
    """
    row = ours("limbeck int8", "r1", 8, 1.5, "ov int8")
    extra = {**row.extra, "rival_ms": 21.74}
    workload = {**row.workload, "model": "distilbert-6x768"}
    measure.append_rows(
        tmp_path / "peers.jsonl", [replace(row, isa="a", workload=workload, extra=extra)]
    )
    kernel = {"benchmark": "kernels", "subject": "int8 dense", "threads": 1, "isa": "a"}
    measure.append_rows(
        tmp_path / "kernels.jsonl",
        [
            replace(row, **kernel, extra={"peak_gops": 990.0}),
            replace(row, **kernel, extra={"peak_gops": 1000.0}),
            replace(row, **kernel, extra={"peak_gops": 980.0}),
            replace(row, **{**kernel, "subject": "bf16 dense"}, extra={"peak_gops": 5000.0}),
            replace(row, **{**kernel, "isa": "b"}, extra={"peak_gops": 5000.0}),
            replace(
                row,
                **kernel,
                machine=replace(row.machine, cpu="Another"),
                extra={"peak_gops": 5000.0},
            ),
        ],
    )
    filled = tables.fill("<!-- rows:peers -->\n<!-- /rows -->\n", tmp_path)
    assert "| 8 x 32 | 2 | ov int8, 21.7 | 2.00 | **1.50** (1.40–1.60) |" in filled


def test_mixed_table_holds_speeds_against_uniform_length(tmp_path: Path) -> None:
    def row(order: str, tokens_per_s: float, way: str) -> measure.Row:
        base = ours("limbeck int8", "r1", 32, 1.75, "ov int8", tokens_per_s=tokens_per_s)
        workload = {"model": "m", "texts": "sst2-validation", "order": order}
        extra = {**base.extra, "strategy": way}
        return replace(base, benchmark="mixed", workload=workload, extra=extra)

    measure.append_rows(
        tmp_path / "peers.jsonl",
        [row("as given", 900, "whole batches"), row("uniform", 1000, "whole batches")],
    )
    filled = tables.fill("<!-- rows:mixed -->\n<!-- /rows -->\n", tmp_path)
    assert (
        "| m, sst2-validation | 2 | limbeck int8 | 1000 | 900 (whole batches, 90% of uniform) | "
        "**1.75** (1.65–1.85) | – | – |" in filled
    )
    with pytest.raises(InputError, match="make bench-engine"):
        tables.fill("<!-- rows:peers -->\n<!-- /rows -->\n", tmp_path)


def test_the_table_of_kernels() -> None:
    rows = [
        measure.Row(
            run="a",
            benchmark="kernels",
            subject=subject,
            workload={"rows": 768, "cols": cols, "tokens": 128},
            unit="GOP/s",
            value=value,
            low=value,
            high=value,
            repeats=1,
            isa="avx2",
            extra=extra,
        )
        for subject, cols, value, extra in (
            ("int8 dense", 768, 900.0, {"peak_gops": 1000.0}),
            ("int8 dense", 3072, 950.0, {"peak_gops": 1000.0}),
            ("int8 4x4", 768, 800.0, {"peak_gops": 1000.0}),
            ("fp32 dense", 768, 5.0, {}),
        )
    ]
    there = replace(rows[0], machine=replace(rows[0].machine, cpu="Another CPU"), run="b")
    newer = replace(there, run="c", value=500.0, low=500.0, high=500.0)
    table = tables.kernels([there, *rows, newer])
    first, table = table.split("on Another CPU")
    assert "| avx2, int8 dense | 1000 | 500 (50%) |" in first
    assert "900 (90%)" not in first
    assert "| instruction set, kernel | peak, GOP/s | 768 x 768 | 768 x 3072 |" in table
    assert "| avx2, int8 dense | 1000 | 900 (90%) | 950 (95%) |" in table
    assert "| avx2, int8 4x4 | 1000 | 800 (80%) | – |" in table
    assert "| avx2, fp32 dense | – | 5 | – |" in table

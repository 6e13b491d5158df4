"""Memory stays flat over 200,000 mixed requests, and a leak would be seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.bench import soak
from limbeck.errors import LimbeckError
from limbeck.serve.app import App
from limbeck.serve.load_settings import load_settings
from limbeck.serve.memory import resident_bytes, trim_allocator

TOTAL = 200_000


def memory() -> int:
    """What is in use: free memory that the allocator keeps would hide a leak that fills it."""
    trim_allocator()
    return resident_bytes()


def drive(
    folder: Path, total: int, planted: Callable[[], None] = lambda: None
) -> tuple[soak.Outcome, bool]:
    """That many requests through an app of its own; whether its counts add up."""

    async def run() -> tuple[soak.Outcome, bool]:
        settings = load_settings(soak.write_config(folder), overrides={}, environ={})
        app = App(settings, reread=lambda: settings)
        await app.service.start()
        through = soak.into(app.front)

        async def send(request: Any) -> int | None:
            planted()
            return await through(request)

        try:
            outcome = await soak.soak(total, send, memory)
            metrics = (await app.watch.metrics.scrape())[0].decode()
        finally:
            await app.service.close()
        return outcome, soak.counts_add_up(metrics, on_their_way=0)

    return asyncio.run(run())


def test_memory_stays_flat_and_counts_add_up(tmp_path: Path) -> None:
    outcome, adds_up = drive(tmp_path, TOTAL)
    assert not outcome.wrong
    assert adds_up
    assert outcome.statuses.total() == TOTAL
    # All that was to be tried was.
    assert set(outcome.statuses) >= {"200", "400", "404", "413", "503"}
    assert outcome.slope_bytes < soak.SLOPE_BYTES


def test_a_leak_of_a_kilobyte_in_ten_requests_is_seen(tmp_path: Path) -> None:
    leaked: list[bytearray] = []
    count = 0

    def leak() -> None:
        nonlocal count
        count += 1
        if count % 10 == 0:
            leaked.append(bytearray(1024))

    outcome, _ = drive(tmp_path, 30_000, leak)
    assert outcome.slope_bytes > soak.SLOPE_BYTES


def samples(per_request: float, noise: int, jump: int = 0) -> list[tuple[int, int]]:
    luck = random.Random(5)
    return [
        (
            n,
            int(
                10**8 + n * per_request + luck.randint(-noise, noise) + (jump if n > 99_000 else 0)
            ),
        )
        for n in range(50_000, 200_000, 500)
    ]


@pytest.mark.parametrize("per_request", [0.0, 5.0, 20.0, 100.0])
def test_the_slope_is_found_under_noise(per_request: float) -> None:
    assert soak.slope(samples(per_request, 300_000)) == pytest.approx(per_request, abs=1.0)


def test_a_jump_is_no_slope() -> None:
    assert soak.slope(samples(0.0, 1000, jump=2_000_000)) < 10.0


def test_too_little_to_tell() -> None:
    with pytest.raises(LimbeckError, match="too few"):
        soak.slope([(1, 1)])


@pytest.mark.parametrize(
    ("received", "in_flight", "expected"), [(5, 0, True), (6, 0, False), (6, 1, False)]
)
def test_what_does_not_add_up_is_seen(received: int, in_flight: int, expected: bool) -> None:
    metrics = (
        f"limbeck_requests_received_total {received}.0\n"
        'limbeck_requests_total{outcome="ok"} 3.0\nlimbeck_requests_total{outcome="failed"} 2.0\n'
        f"limbeck_requests_in_flight {in_flight}.0\n"
    )
    assert soak.counts_add_up(metrics, on_their_way=0) == expected


def test_a_run_that_is_too_short_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(["--requests", "100"])
    assert "warms up" in capsys.readouterr().err

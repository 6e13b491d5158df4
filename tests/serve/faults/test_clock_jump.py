"""A wall clock that jumps by years at every look: only the times in the log depend on it."""

from __future__ import annotations

import json

from crowd import ask, crowd
from serving_program import settled

PATH = "/v1/models/m/predict"
# Before anything else is imported: forward, backward, before the epoch, and still now and then.
JUMPING = """
import itertools, time
real = time.time
jumps = itertools.cycle([0.0, 3e8, -3e8, 86400.0, -real() - 1e6, 3600.0, -3600.0, 1e9])
time.time = lambda: real() + next(jumps)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_deadlines_caches_rates_and_reloads_do_not_look_at_it(program, stored, tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPING)
    config = tmp_path / "serve.toml"
    config.write_text(
        f"[[models]]\nname = 'm'\npath = {str(stored.path)!r}\ndeadline_ms = 80000\n"
        "[cache]\nttl_s = 3600\n[rate]\ntokens_per_s = 1e9\nburst_tokens = 1e9\n"
    )
    server = program(
        *("--config", str(config), "--port", "0", "--threads", "1"),
        environ={"PYTHONPATH": str(tmp_path)},
    )
    url = server.ready()
    with crowd(url, stored.bodies, stored.right, path=PATH, cached=True) as clients:
        clients.everybody(4)
    assert clients.lost == 0
    assert set(clients.statuses) == {200}
    again = ask(url, PATH, stored.bodies[0])
    assert stored.right(0, again.value)
    counts = settled(url)
    assert counts.of("own") == {"ok": clients.statuses[200] + 1}
    # What was answered an hour ago at most is known, whatever the year.
    rows = sum(len(body["inputs"]) for body in stored.bodies)
    assert counts.value("limbeck_cache_misses_total") <= rows
    assert counts.value("limbeck_cache_hits_total") > 0
    assert counts.value("limbeck_ready") == 1
    assert server.end() == 0
    assert "Traceback" not in server.said
    # The jumps were real: the log is full of other years.
    years = {json.loads(line)["time"][:4] for line in server.lines if line.startswith("{")}
    assert len(years) > 2

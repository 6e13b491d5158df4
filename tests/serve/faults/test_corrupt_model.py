"""Models swapped in while requests come in, whole ones and broken ones."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from crowd import crowd
from limbeck import pipeline
from serving_program import Counts, settled, store

PATH = "/v1/models/m/predict"
PATIENT = {"X-Request-Timeout-Ms": "80000"}


def cut_short(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def one_bit(model: Path) -> None:
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


def no_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def no_description(model: Path) -> None:
    (model / "limbeck.json").write_bytes(b'{"format": ')


def no_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_bytes(b"")


# What is done to a copy, and a word of what the log says of it.
BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (cut_short, "model.safetensors"),
    (one_bit, "model.safetensors"),
    (no_weights, "model.safetensors"),
    (no_description, "limbeck.json"),
    (no_tokenizer, "tokenizer.json"),
    (shutil.rmtree, "model"),
]


def swap(place: Path, other: Path | None) -> None:
    """Put another directory in the place of one that is in use."""
    # What is mapped stays as it is as long as it is in use, whatever becomes of its name.
    gone = place.with_name("gone")
    place.rename(gone)
    shutil.rmtree(gone)
    if other is not None:
        other.rename(place)


def test_broken_ones_change_nothing_and_a_whole_one_loses_nothing(
    program, stored, zoo, tmp_path
) -> None:
    place, good = tmp_path / "model", tmp_path / "good"
    shutil.copytree(stored.path, place)
    other = store(good, zoo("bert", "text-classification", seed=7))
    pipe = pipeline("text-classification", str(good))
    new_outputs = [pipe(body["inputs"], top_k=None) for body in stored.bodies]
    assert new_outputs != stored.outputs
    config = tmp_path / "serve.toml"
    text = f"[[models]]\nname = 'm'\npath = {str(place)!r}\n[cache]\nsize_bytes = 0\n"
    config.write_text(text)
    server = program("--config", str(config), "--port", "0", "--threads", "1")
    url = server.ready()
    versions = {"old": 0, "new": 0}

    def right(which: int, value) -> bool:
        for name, outputs in (("old", stored.outputs), ("new", new_outputs)):
            if value["outputs"] == outputs[which]:
                versions[name] += 1
                return True
        return False

    with crowd(url, stored.bodies, right, path=PATH, headers=PATIENT) as clients:
        clients.everybody()
        failed = 0
        for spoil, words in BROKEN:
            bad = tmp_path / "bad"
            shutil.copytree(stored.path, bad)
            spoil(bad)
            swap(place, bad if bad.exists() else None)
            after = len(server.lines)
            server.send(signal.SIGHUP)
            server.read_until("reload failed, all stays as it was", after)
            failed += 1
            assert words in reason(server, after), spoil.__name__
            clients.everybody()
            if place.exists():
                shutil.rmtree(place)
            shutil.copytree(stored.path, place)
        # Another model than the one that the configuration asks for.
        config.write_text(text.replace("[cache]", f"digest = {stored.digest!r}\n[cache]"))
        wanted = tmp_path / "wanted"
        shutil.copytree(good, wanted)
        swap(place, wanted)
        after = len(server.lines)
        server.send(signal.SIGHUP)
        server.read_until("reload failed", after)
        failed += 1
        assert f"digest {other}" in reason(server, after)
        clients.everybody()
        assert versions["new"] == 0
        # And now that very one is asked for.
        config.write_text(text.replace("[cache]", f"digest = {other!r}\n[cache]"))
        server.send(signal.SIGHUP)
        server.read_until("is loaded anew", after)
        clients.everybody(2)
    assert clients.lost == 0
    assert set(clients.statuses) <= {200, 429}
    assert versions["old"] > 0 < versions["new"]
    assert sum(versions.values()) == clients.statuses[200]
    counts = settled(url)
    assert counts.of("own") == clients.outcomes
    assert counts.value('limbeck_reloads_total{result="failed"}') == failed == len(BROKEN) + 1
    assert counts.value('limbeck_reloads_total{result="ok"}') == 1
    assert f'digest="{other}"' in counts.text
    assert server.end() == 0
    assert "Traceback" not in server.said


def reason(server, after: int) -> str:
    return next(line for line in server.lines[after:] if "reload failed" in line)


@pytest.mark.parametrize("times", [5])
def test_reloads_that_find_nothing_new_keep_the_model(program, stored, times) -> None:
    server = program(str(stored.path), "--name", "m", "--port", "0", "--threads", "1")
    url = server.ready()
    with crowd(url, stored.bodies, stored.right, path=PATH, headers=PATIENT) as clients:
        for done in range(times):
            server.send(signal.SIGHUP)
            reloads = 'limbeck_reloads_total{result="ok"}'
            while Counts(url).value(reloads) <= done:
                clients.more(1)
    assert clients.lost == 0
    assert set(clients.statuses) <= {200, 429}
    assert "loaded anew" not in server.said
    assert settled(url).of("own") == clients.outcomes

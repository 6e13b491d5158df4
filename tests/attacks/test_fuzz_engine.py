"""Forged artifacts with true digests, all the way: refused with a reason, or answered rightly.

test_fuzz.py stops at the reader. Here what the reader lets through goes into the engine, in a
process of its own: a crash there is a finding with a number, and not the end of the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import artifact_files as samples
from limbeck.spec import Precision

FILES = ("limbeck.json", "model.safetensors", "tokenizer.json")
SETTINGS = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


class LoadingProcess:
    """loading_process.py, started again when it has died."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, directory: Path, *, verify: bool = True) -> str:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"directory": str(directory), "verify": verify}
        with samples.no_hang(60):
            try:
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            status = process.wait()
            self.close()
            pytest.fail(f"the process ended with status {status}:\n{self._log.read_text()}")
        outcome: str = json.loads(line)["outcome"]
        assert not outcome.startswith("wrong"), outcome
        return outcome

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("loading_process.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )

    def close(self) -> None:
        if self._process is not None:
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadingProcess]:
    process = LoadingProcess(tmp_path_factory.mktemp("load") / "stderr")
    yield process
    process.close()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    found = {}
    for precision in PRECISIONS:
        directory = tmp_path_factory.mktemp("originals") / precision
        samples.write(directory, precision)
        found[precision] = {name: (directory / name).read_bytes() for name in FILES}
    return found


def put(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (directory / name).write_bytes(content)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_sound_artifacts_are_answered(
    originals: dict[str, dict[str, bytes]], tmp_path: Path, load: LoadingProcess, precision: str
) -> None:
    """Else all the tests below would pass for a reader that refuses everything."""
    put(tmp_path, originals[precision])
    assert load(tmp_path) == load(tmp_path, verify=False) == "answered"


def test_a_crash_is_seen(tmp_path: Path) -> None:
    """And not taken for an answer."""
    process = LoadingProcess(tmp_path / "stderr")
    process(tmp_path)
    assert process._process is not None
    process._process.kill()
    process._process.wait()
    with pytest.raises(pytest.fail.Exception, match="ended with status -9"):
        process(tmp_path)
    assert process(tmp_path).startswith("refused")
    process.close()


bytes_changed = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4
)


@SETTINGS
@given(precision=st.sampled_from(PRECISIONS), changes=bytes_changed, verify=st.booleans())
def test_changed_bytes_of_weights(
    originals: dict[str, dict[str, bytes]],
    tmp_path: Path,
    load: LoadingProcess,
    precision: str,
    changes: list[tuple[float, int]],
    verify: bool,
) -> None:
    """Anywhere behind the header: values, scales, bitmaps."""
    put(tmp_path, originals[precision])
    file = samples.WeightsFile.load(tmp_path)
    for position, mask in changes:
        file.data[int(position * len(file.data))] ^= mask
    file.save(tmp_path)
    load(tmp_path, verify=verify)


NUMBERS = {
    "F32": [0.0, -0.0, 1e-45, 1e-38, 1e19, -1e30, 3.4e38, -3.4e38, 2.6e36, np.inf, np.nan],
    "I8": [-128, -127, 0, 127],
    "U8": [0, 1, 128, 255],
}


@SETTINGS
@given(
    precision=st.sampled_from(PRECISIONS),
    part=st.floats(0, 1, exclude_max=True),
    at=st.floats(0, 1, exclude_max=True),
    number=st.integers(0, 100),
    everywhere=st.booleans(),
    verify=st.booleans(),
)
def test_numbers_at_the_edge(
    originals: dict[str, dict[str, bytes]],
    tmp_path: Path,
    load: LoadingProcess,
    precision: str,
    part: float,
    at: float,
    number: int,
    everywhere: bool,
    verify: bool,
) -> None:
    """One number or all of them, in one part of one tensor."""
    put(tmp_path, originals[precision])
    file = samples.WeightsFile.load(tmp_path)
    name = sorted(file.header)[int(part * len(file.header))]
    dtype = file.header[name]["dtype"]
    kind = {"F32": "<f4", "I8": "i1", "U8": "u1"}[dtype]
    numbers = np.frombuffer(bytes(file.data[file.span(name)]), kind).copy()
    numbers[... if everywhere else int(at * numbers.size)] = NUMBERS[dtype][
        number % len(NUMBERS[dtype])
    ]
    file.data[file.span(name)] = numbers.tobytes()
    file.save(tmp_path)
    load(tmp_path, verify=verify)


SPEC_VALUES: dict[tuple[str, ...], list[Any]] = {
    ("encoder", "heads"): [1, 2, 4, 8, 3, 0],
    ("encoder", "architecture"): ["bert", "distilbert", "roberta", "gpt2"],
    ("encoder", "activation"): ["gelu", "gelu_tanh", "relu", "tanh"],
    ("encoder", "norm_eps"): [1e-12, 1e-5, 0.5, 1e-44, 1e-50, 5e-324, 0.0, 1.0],
    ("encoder", "position_mode"): ["absolute", "after_padding"],
    ("encoder", "pad_id"): [0, 1, 4, 5, 18, 19, -1, 2**31],
    ("encoder", "types"): [0, 1, 2, 3],
    ("encoder", "layers"): [1, 2, 3, 2**24 - 1],
    ("encoder", "hidden"): [8, 16, 4, 2**24 - 8],
    ("encoder", "positions"): [6, 5, 2**24 - 1],
    ("task", "max_tokens"): [6, 5, 1, 7],
    ("task", "task"): ["text-classification", "token-classification", "feature-extraction"],
    ("task", "labels"): [["a", "b", "leak"], ["leak"], []],
    ("task", "head", "kind"): ["sequence", "token"],
    ("task", "head", "dense"): ["tanh", "relu", None],
    ("quant", "precision"): ["int8", "fp32"],
}
spec_changes = st.lists(
    st.sampled_from(sorted(SPEC_VALUES)).flatmap(
        lambda path: st.tuples(st.just(path), st.sampled_from(SPEC_VALUES[path]))
    ),
    min_size=1,
    max_size=3,
)


def change_spec(changes: list[tuple[tuple[str, ...], Any]]) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        for path, value in changes:
            place = fields["spec"]
            for step in path[:-1]:
                place = place[step]
            assert path[-1] in place, path
            place[path[-1]] = value

    return change


@SETTINGS
@given(precision=st.sampled_from(PRECISIONS), changes=spec_changes)
@example(precision="fp32", changes=[(("encoder", "norm_eps"), 1e-50)])
@example(
    precision="int8",
    changes=[(("encoder", "position_mode"), "after_padding"), (("encoder", "pad_id"), 4)],
)
def test_changed_specs(
    originals: dict[str, dict[str, bytes]],
    tmp_path: Path,
    load: LoadingProcess,
    precision: str,
    changes: list[tuple[tuple[str, ...], Any]],
) -> None:
    put(tmp_path, originals[precision])
    samples.reseal(tmp_path, change_spec(changes))
    load(tmp_path)

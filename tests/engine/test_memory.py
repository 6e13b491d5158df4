"""Memory that runs out: an error that says so, and an engine that goes on answering.

In a process of its own whose address space is limited (RLIMIT_AS) to little more than what it has.
native/tests/allocation_test.cc fails every single allocation; this is the same from Python's side.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SETUP = """
import os, resource
import numpy as np
from limbeck import artifact
from limbeck.batch import pack
from limbeck.engine import Engine, library
from limbeck.errors import EngineError
from limbeck.spec import EncoderSpec, ModelSpec, QuantSpec, TaskSpec
from limbeck.tensors import Tensor, expected_tensors

MIB = 1 << 20

def limit(more):
    "Allows `more` bytes beyond what the process has now."
    pages = int(open("/proc/self/statm").read().split()[0])
    size = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

def unlimited():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

def threads():
    return len(os.listdir("/proc/self/task"))

def model(hidden):
    encoder = EncoderSpec(architecture="bert", layers=1, hidden=hidden, heads=1, ffn=4 * hidden,
                          vocab=9, positions=1 << 14)
    spec = ModelSpec(encoder=encoder, task=TaskSpec(task="feature-extraction", max_tokens=1 << 14))
    rng = np.random.default_rng(0)
    weights = {
        name: Tensor(shape=shape, values=rng.standard_normal(shape, dtype=np.float32))
        for name, shape, _ in expected_tensors(encoder, None, 0)
    }
    return spec, weights

def refused(call):
    try:
        call()
    except (EngineError, MemoryError) as error:
        assert isinstance(error, EngineError), "Python itself ran out of memory, not the engine"
        assert "memory" in str(error) or "threads" in str(error), error
        return str(error)
    raise AssertionError("nothing was refused")
"""

LOAD = """
spec, weights = model(512)   # 12 MiB of weights, to be packed into as many again
small = Engine(spec, weights, precision="fp32", threads=2)
batch = pack([[1, 2, 3]])
wanted = small.forward(batch, "hidden")
before = threads()
limit(4 * MIB)
print(refused(lambda: Engine(spec, weights, precision="fp32", threads=1)))
assert threads() == before
assert np.array_equal(small.forward(batch, "hidden"), wanted)
unlimited()
again = Engine(spec, weights, precision="fp32", threads=2)
assert np.array_equal(again.forward(batch, "hidden"), wanted)
"""

THREADS = """
spec, weights = model(8)
before = threads()
limit(64 * MIB)   # stacks of eight MiB each
print(refused(lambda: Engine(spec, weights, precision="fp32", threads=64)))
unlimited()
assert threads() == before, (threads(), before)
Engine(spec, weights, precision="fp32", threads=2).forward(pack([[1, 2]]), "mean")
"""

FORWARD = """
spec, weights = model(64)
engine = Engine(spec, weights, precision=PRECISION, threads=2)
small = pack([[1, 2, 3], [4, 5]])
large = pack([[1, 2, 3, 4] * 3072])   # a sequence that all threads share: 30 MiB of workspace
wanted = engine.forward(small, "mean")
limit(16 * MIB)
for _ in range(3):
    print(refused(lambda: engine.forward(large, "mean")))
    assert np.array_equal(engine.forward(small, "mean"), wanted)
    assert engine.describe()["threads"] == 2
unlimited()
assert engine.forward(large, "mean").shape == (1, 64)
assert np.array_equal(engine.forward(small, "mean"), wanted)
"""


def run(script: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SETUP + script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            # Nothing but the engine starts threads, and its stacks have a known size.
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    assert ran.returncode == 0, f"status {ran.returncode}: {ran.stdout}{ran.stderr}"
    return ran.stdout


pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


def test_loading() -> None:
    assert "out of memory" in run(LOAD)


def test_starting_threads() -> None:
    assert "cannot start 64 threads" in run(THREADS)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_batch_that_is_too_large(precision: str) -> None:
    found = run(f"PRECISION = {precision!r}\n{FORWARD}")
    assert found.count("out of memory") == 3

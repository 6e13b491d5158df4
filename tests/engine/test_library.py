"""Finding the native library, and choosing what it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import limbeck
from limbeck import huggingface
from limbeck.engine import Engine, available_cpus, isas, library
from limbeck.errors import EngineError, InputError
from limbeck.huggingface import HuggingFaceModel


@pytest.fixture
def fresh() -> Iterator[None]:
    """The library is opened anew, and the good one again afterwards."""
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@pytest.fixture
def model(zoo: Callable[..., Path]) -> HuggingFaceModel:
    return huggingface.read(zoo("bert", "text-classification"))


def test_a_library_that_is_not_built(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limbeck, "__path__", [str(tmp_path)])
    with pytest.raises(EngineError, match=r"not built: no .*liblimbeck\.so; .*pip install -e"):
        library.load()


def test_a_library_that_is_none(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "_native").mkdir()
    (tmp_path / "_native" / library.FILE_NAME).write_bytes(b"no library")
    monkeypatch.setattr(limbeck, "__path__", [str(tmp_path)])
    with pytest.raises(EngineError, match=r"cannot be used .*rebuild it"):
        library.load()


def test_the_second_directory_of_the_package_is_searched(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limbeck, "__path__", [str(tmp_path), *limbeck.__path__])
    assert library.load().limbeck_abi_version() == library.ABI_VERSION


def test_another_interface_version(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ABI_VERSION", 999)
    with pytest.raises(EngineError, match="this package needs 999; rebuild"):
        library.load()


def test_isas_end_with_the_reference() -> None:
    assert isas()[-1] == "reference"
    assert len(set(isas())) == len(isas())


def test_cpus_respect_the_affinity_mask() -> None:
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}});"
        "from limbeck.engine import available_cpus; print(available_cpus())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert ran.stdout.strip() == "1"


@pytest.mark.parametrize("isa", isas())
def test_the_forced_isa_is_the_one_that_runs(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch, isa: str
) -> None:
    monkeypatch.setenv("LIMBECK_ISA", isa)
    engine = Engine(model.spec, model.weights, precision="int8", threads=1)
    found = engine.describe()
    assert engine.isa == found["isa"] == isa
    # 256-bit VNNI adds nothing to float kernels
    floats = "avx2" if isa == "avxvnni" else isa
    for kernel in [layer["kernel"] for layer in found["layers"]] + [found["attention"]]:
        assert kernel.endswith(f"_{floats if '_f32_' in kernel else isa}"), kernel


def test_the_argument_beats_the_environment(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_ISA", "nonsense")
    engine = Engine(model.spec, model.weights, precision="fp32", threads=1, isa="reference")
    assert engine.isa == "reference"


@pytest.mark.parametrize("name", ["nonsense", "AVX2", "avx2,reference", " "])
def test_an_isa_that_is_not_there(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LIMBECK_ISA", name)
    with pytest.raises(EngineError, match=r"LIMBECK_ISA=.* available: .*reference"):
        Engine(model.spec, model.weights, precision="fp32")
    with pytest.raises(EngineError, match=r"isa=.* available: .*reference"):
        Engine(model.spec, model.weights, precision="fp32", isa=name)


def test_an_empty_variable_means_the_best(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_ISA", "")
    assert Engine(model.spec, model.weights, precision="fp32", threads=1).isa == isas()[0]


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, 10**9])
def test_thread_counts_that_make_no_sense(model: HuggingFaceModel, threads: object) -> None:
    with pytest.raises(InputError, match="threads must be in"):
        Engine(model.spec, model.weights, precision="fp32", threads=threads)  # type: ignore[arg-type]


def test_importing_opens_nothing() -> None:
    """No library, no thread, no CPU probe before the first model."""
    code = (
        "import threading, limbeck.runtimes;"
        "maps = open('/proc/self/maps').read();"
        "print('liblimbeck' in maps, threading.active_count())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert ran.stdout.split() == ["False", "1"]

"""`import limbeck` brings nothing heavy and starts nothing; the names it promises are there."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import limbeck

QUIET = """
import os, sys, threading
before = set(sys.modules)
import limbeck
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
print(threading.active_count(), len(os.listdir("/proc/self/task")))
"""
HEAVY = {
    "numpy", "tokenizers", "safetensors", "torch", "transformers", "typer", "rich", "ctypes",
    "multiprocessing", "logging", "asyncio",
}  # fmt: skip


def test_import_brings_nothing_heavy_and_starts_no_thread() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    modules, threads = done.stdout.splitlines()
    assert "limbeck" in modules.split()
    assert not HEAVY & set(modules.split())
    assert threads == "1 1"


def test_every_promised_name_is_there() -> None:
    for name in limbeck.__all__:
        assert getattr(limbeck, name) is not None, name
        assert name in dir(limbeck)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = limbeck.nonsense  # type: ignore[attr-defined]


def test_pipeline_stays_the_function_after_its_module_was_imported() -> None:
    importlib.import_module("limbeck.pipeline")
    assert callable(limbeck.pipeline)


def test_the_runtime_wing_never_imports_torch() -> None:
    """Also where torch is installed: loading the rooms below the forge must not bring it."""
    rooms = (
        "artifact batch data engine errors huggingface measure pipeline report runtimes spec tasks "
        "tensors text"
    )
    code = "import importlib, sys\n" + "\n".join(
        f"importlib.import_module('limbeck.{room}')" for room in rooms.split()
    )
    code += "\nprint(sorted({'torch', 'transformers', 'sklearn', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

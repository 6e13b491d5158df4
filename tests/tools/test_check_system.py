"""The check that `make` runs first: silent where all is there, else the line that helps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check-system.sh"
LINE = "apt install make g++ python3-dev python3-venv"


def run(python: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, str(python)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def pretend_python(directory: Path, *, version: str = "(3, 12)", lacks: str = "nothing") -> Path:
    """An interpreter that reports another version, or fails code that names what it lacks."""
    script = directory / "python"
    script.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *"{lacks}"*) exit 1 ;; esac\n'
        f'code=$(printf "%s" "$2" | sed "s/sys.version_info/{version}/")\n'
        f'exec "{sys.executable}" -c "$code"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def compiler(tmp_path: Path) -> str:
    """One that is content with everything: this test is not about the machine's own."""
    script = tmp_path / "c++"
    script.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def test_a_complete_machine_is_left_in_peace(tmp_path: Path, compiler: str) -> None:
    done = run(pretend_python(tmp_path, lacks="Python.h-never-asked-for"), CXX=compiler)
    if "headers" in done.stderr:
        pytest.skip("this interpreter came without its headers")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("lacks", "named"), [("ensurepip", "the venv module"), ("Python.h", "the headers")]
)
def test_missing_parts_of_python_name_the_line(
    tmp_path: Path, compiler: str, lacks: str, named: str
) -> None:
    done = run(pretend_python(tmp_path, lacks=lacks), CXX=compiler)
    assert done.returncode == 1
    assert named in done.stderr
    assert done.stderr.splitlines()[-1] == LINE


def test_missing_compiler_names_the_line(tmp_path: Path) -> None:
    for compiler in ("no-such-compiler", "false"):
        done = run(pretend_python(tmp_path), CXX=compiler)
        assert done.returncode == 1
        assert compiler in done.stderr
        assert done.stderr.splitlines()[-1] == LINE


def test_missing_python_names_the_line(compiler: str) -> None:
    done = run("python-of-nobody", CXX=compiler)
    assert done.returncode == 1
    assert "python-of-nobody" in done.stderr
    assert done.stderr.splitlines()[-1] == LINE


def test_python_that_is_too_old_asks_for_another(tmp_path: Path, compiler: str) -> None:
    done = run(pretend_python(tmp_path, version="(3, 10)"), CXX=compiler)
    assert done.returncode == 1
    assert "3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr

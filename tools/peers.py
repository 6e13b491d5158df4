"""Make an environment of its own for each benchmark peer in tools/peers.toml, under .peers.

Usage: tools/peers.py [NAME...]. What is up to date stays. A peer that cannot be installed is
reported and the others go on; the exit status is 1 where one that was named could not be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import torch_index

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "tools" / "peers.toml"
PEERS = ROOT / ".peers"
# Written last: the benchmarks take an environment without it for one that is not there.
RECORD = "installed.txt"
# Some peers report home when they are imported.
QUIET = {"NM_DISABLE_ANALYTICS": "1", "NNCF_CI": "1"}


def python_for(version: str | None) -> str | None:
    """An interpreter of that version: this one, or one on PATH; None: there is none."""
    if version is None or version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    return shutil.which(f"python{version}")


def install(name: str, peer: dict[str, Any], directory: Path) -> str | None:
    """Make the environment; None when it is there, or why it cannot be."""
    python = python_for(peer.get("python"))
    if python is None:
        return f"it needs Python {peer['python']}, and there is no python{peer['python']} on PATH"
    wanted = "\n".join([python, *peer["packages"]])
    record = directory / RECORD
    if record.is_file() and record.read_text(encoding="utf-8") == wanted:
        print(f"==> {name} is up to date")
        return None
    print(f"==> {name}: {', '.join(peer['packages'])}", flush=True)
    inside = str(directory / "bin" / "python")
    pip = [inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if any(package.startswith("torch==") for package in peer["packages"]):
        # Builds there end in "+cpu", which pip prefers to the same version with CUDA.
        address = f"{torch_index.INDEX}/torch/"
        if torch_index.reachable(address, torch_index.LIMIT_S):
            pip += ["--extra-index-url", torch_index.INDEX]
    shutil.rmtree(directory, ignore_errors=True)
    for command in (
        [python, "-m", "venv", str(directory)],
        [*pip, *peer["packages"]],
        [inside, "-c", peer["try"]],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **QUIET}
        )
        if done.returncode:
            shutil.rmtree(directory, ignore_errors=True)
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            return f"{' '.join(command[1:4])} ... failed: {said[-1] if said else 'no message'}"
    record.write_text(wanted, encoding="utf-8")
    if "note" in peer:
        print(f"    {peer['note']}")
    return None


def main(names: list[str], pins: Path = PINS, directory: Path = PEERS) -> int:
    """Returns the exit status."""
    known = tomllib.loads(pins.read_text(encoding="utf-8"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no peer {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 1
    failed = []
    for name in names or known:
        problem = install(name, known[name], directory / name)
        if problem:
            failed.append(name)
            print(f"==> {name} cannot be had here: {problem}", file=sys.stderr)
    return 1 if names and failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

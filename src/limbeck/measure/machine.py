"""Where a measurement was made: processor, usable cores, versions, commit."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# The instruction sets that decide which kernels of ours or of a peer run.
_NOTABLE = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "sve",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`cores` are those that this process may use: affinity mask and cgroup quota."""

    cpu: str
    cores: int
    isa: tuple[str, ...]
    memory_mb: int
    kernel: str
    python: str


def _cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    name = fields.get("model name") or platform.processor() or platform.machine()
    if {"cpu family", "model"} <= set(fields):
        # Hosts hide the exact model behind "AMD EPYC"; family and model number tell it apart.
        name = f"{name} (family {fields['cpu family']}, model {fields['model']})"
    return name, tuple(flag for flag in _NOTABLE if flag in flags)


def _quota(root: Path) -> float | None:
    """CPUs' worth of time that the cgroup grants, or None for no limit."""
    try:
        limit, period = (root / "cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@functools.cache
def machine() -> Machine:
    """Facts about this machine."""
    cpu, isa = _cpuinfo(_read("/proc/cpuinfo"))
    cores = len(os.sched_getaffinity(0))
    quota = _quota(Path("/sys/fs/cgroup"))
    if quota is not None:
        cores = max(1, min(cores, round(quota)))
    return Machine(
        cpu=cpu,
        cores=cores,
        isa=isa,
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        kernel=platform.release(),
        python=platform.python_version(),
    )


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed version of each package; packages that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit(directory: Path | None = None) -> str:
    """The commit of the checkout that holds this file, "-dirty" appended when sources differ.

    "unknown" for an installation that stands in no git checkout.
    """
    here = directory or Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        top = git("rev-parse", "--show-toplevel")
        changed = git("-C", top, "status", "--porcelain", "--", "src", "native", "CMakeLists.txt")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}-dirty" if changed else head

"""Checks the object files of the native library: what they define and which instructions they hold.

Usage: check_symbols.py FILE.o ...

An x86_<isa>.cc file may define only the kernels of its list.inc (in bench/, the loops that find the
peak), and nothing that the linker could
share with other files (weak symbols): a template instantiated under AVX-512 flags could otherwise
end up in the baseline path. Every other file must hold no instruction on 256- or 512-bit registers.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def symbols(path: Path) -> list[tuple[str, str]]:
    """(type, demangled name) of every global symbol that the file defines."""
    command = ["nm", "--defined-only", "--extern-only", "--demangle", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [tuple(line.split(maxsplit=2)[1:]) for line in lines if line.strip()]


def wide_instructions(path: Path) -> list[str]:
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.strip() for line in text.splitlines() if re.search(r"%[yz]mm\d", line)]


def problems(path: Path) -> list[str]:
    kernel = path.parent.name
    isa = re.fullmatch(r"x86_(\w+)\.cc\.o", path.name)
    if isa is None:
        found = wide_instructions(path)
        return (
            [f"{kernel}/{path.name}: {len(found)} wide instructions, first: {found[0]}"]
            if found
            else []
        )
    allowed = "limbeck::Peak" if kernel == "bench" else f"limbeck::{kernel}_{isa[1]}("
    result = []
    for kind, name in symbols(path):
        if not (kind == "T" and name.startswith(allowed)):
            result.append(
                f"{kernel}/{path.name}: defines {name} ({kind}); only {allowed}...) may be visible"
            )
    wide = "%zmm" if isa[1].startswith("avx512") else "%ymm"
    if not any(wide in line for line in wide_instructions(path)):
        result.append(f"{kernel}/{path.name}: holds no {wide} instruction")
    return result


def main() -> int:
    files = [Path(argument) for argument in sys.argv[1:]]
    if not any(file.name.startswith("x86_") for file in files):
        print("no instruction-set specific files among the objects")
        return 1
    found = [problem for file in files for problem in problems(file)]
    print("\n".join(found) or f"{len(files)} object files checked")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

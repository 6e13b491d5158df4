"""Write native/model/tensor_table.inc from the tensor table in limbeck/tensors.py.

Usage: python tools/generate_tensor_table.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from limbeck.tensors import TENSOR_TABLE

TARGET = Path(__file__).parent.parent / "native" / "model" / "tensor_table.inc"
AXES = {
    "C": "hidden",
    "F": "ffn",
    "V": "vocab",
    "P": "positions",
    "Y": "types",
    "L": "labels",
    "R": "ends",
}
KINDS = {"linear": "kLinear", "embedding": "kEmbedding", "float": "kFloat"}
WHEN = {
    "always": "kAlways",
    "types": "kTypes",
    "head": "kHead",
    "dense_head": "kDenseHead",
    "static": "kStatic",
}


def render() -> str:
    lines = [
        "// Every tensor of a model: name, axes (names of LimbeckModelSpec's sizes), kind, "
        "when it is required.",
        "// Generated from src/limbeck/tensors.py by tools/generate_tensor_table.py.",
    ]
    for row in TENSOR_TABLE:
        axes = [AXES[axis] for axis in row.axes]
        rank = len(axes)
        second = axes[1] if rank == 2 else axes[0]
        lines.append(
            f'LIMBECK_TENSOR("{row.name}", {rank}, {axes[0]}, {second}, '
            f"TensorKind::{KINDS[row.kind]}, TensorWhen::{WHEN[row.when]})"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != text:
            print(f"{TARGET.name} is stale; run: python tools/generate_tensor_table.py")
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

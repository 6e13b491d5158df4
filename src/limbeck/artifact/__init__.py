"""The artifact: a model as a directory that the forge writes and the runtime reads.

In: a ModelSpec, named weights, a tokenizer. Out: the same again, checked, memory-mapped, digested.
Neighbours: spec and tensors below; the runtimes read, the forge writes. docs/format.md is the law.
"""

from limbeck.artifact.blocks import BLOCK_PATTERNS, encode_blocks, find_block_pattern
from limbeck.artifact.format import FORMAT_VERSION
from limbeck.artifact.measured import read_measured, write_measured
from limbeck.artifact.read import Artifact, is_artifact, read
from limbeck.artifact.replace import check_target
from limbeck.artifact.write import write

__all__ = [
    "BLOCK_PATTERNS",
    "FORMAT_VERSION",
    "Artifact",
    "check_target",
    "encode_blocks",
    "find_block_pattern",
    "is_artifact",
    "read",
    "read_measured",
    "write",
    "write_measured",
]

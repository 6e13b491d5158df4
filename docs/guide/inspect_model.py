"""See what runs: python docs/guide/inspect_model.py MODEL_DIRECTORY

MODEL_DIRECTORY is an artifact, or a Hugging Face or sentence-transformers directory.
"""

import json
import sys

import limbeck

model = limbeck.load(sys.argv[1], precision="int8", threads=1)
print(model.spec.encoder)

# Instruction set, number format, kernels, bytes; "runs dense" where a sparse layer has no sparse
# kernel.
print(json.dumps(model.describe(), indent=1))

# Token ids in, float32 out: "hidden" is [T, C], one row for each token of the packed batch.
ids = [encoded.ids for encoded in model.tokenizer().encode(["a quiet room"], max_tokens=32)]
print(model.forward(ids, output="hidden").shape)

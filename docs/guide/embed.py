"""Compare sentences by their vectors: python docs/guide/embed.py MODEL_DIRECTORY

MODEL_DIRECTORY is a sentence-transformers directory.
"""

import sys

import numpy as np

import limbeck

embed = limbeck.pipeline("sentence-embedding", sys.argv[1], precision="int8")
sentences = ["a flat by the river", "a house on the hill", "a train to the city"]
vectors = embed(sentences)  # [3, C] float32
unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

for sentence, row in zip(sentences, unit @ unit.T, strict=True):
    print(f"{sentence:22}", " ".join(f"{cosine:6.3f}" for cosine in row))

"""Classify texts: python docs/guide/classify.py MODEL_DIRECTORY

MODEL_DIRECTORY is an artifact or a Hugging Face directory with a classification head.
"""

import sys

import limbeck

classify = limbeck.pipeline("text-classification", sys.argv[1])

# One text gives a list with its best label; several give a list of answers in the same order.
print(classify("a quiet room with a view of the river"))
print(classify(["a quiet room", "a noisy street"]))

# All labels, best first.
for answer in classify("a quiet room", top_k=None):
    print(f"{answer['label']:12} {answer['score']:.3f}")

# A text that is longer than the model's maximum is cut there, unless it is read in windows that
# overlap by `stride` tokens; each label then gets its highest score over the windows.
long_text = "a quiet room with a view of the river and of the station. " * 40
print(classify(long_text, window=True, stride=32, window_reduce="max"))

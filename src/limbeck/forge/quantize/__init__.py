"""From fp32 to int8 with as little lost as possible: sample texts, smoothing, training, the gate.

In: a model directory and texts or rows. Out: a directory that quantises better, or an artifact that
has passed. Scales and rounding are those of `limbeck.engine`; `export` writes.
"""

"""What pruning and int8 keep and gain: the curves of public data sets.

In: the data sets and teachers of `limbeck.bench.distillation`. Out: rows in
benchmarks/results/compression.jsonl, one an artifact. `python -m limbeck.bench.curve` runs what is
missing: `files` writes rows where a recipe reads them, `plan` makes the recipes and names them by
what they depend on. Neighbours: `limbeck.forge.recipe.curve` makes and measures; nothing imports
this room.
"""

"""What distillation keeps: teachers and shallower students on public data, through the engine.

In: a directory of data sets and an encoder. Out: rows in benchmarks/results/distillation.jsonl,
each with the share of the teacher's metric that is kept and its interval.
`python -m limbeck.bench.distillation` runs what is missing: `sets` reads, `plan` names runs by what
they depend on, `work` trains and scores them and keeps both, `findings` makes rows of them.
Neighbours: forge trains, evaluation scores; nothing imports this room.
"""

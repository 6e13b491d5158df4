"""The engine against its peers, each in a process of its own.

In: a model directory and a grid of batches. Out: rows in benchmarks/results, errors compared first.
Neighbours: measure keeps time and rows; runtimes is what is measured; nothing imports this room.
"""

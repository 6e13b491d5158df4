"""Serving against serving: each server in a process and an environment of its own, same weights.

In: contestants and texts. Out: the largest Poisson rate at which 99 % are answered in time, as
rows. `peers/` is run by the peers' own interpreters. Neighbour: `limbeck.loadtest` asks.
"""

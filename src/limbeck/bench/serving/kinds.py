"""The kinds of rows of serving, by their benchmark name."""

from __future__ import annotations

RATE = "serving"  # the figure: the largest rate in time
CURVE = "serving-curve"  # answers in time at one offered rate
OWN = "serving-own"  # what limbeck's server alone is asked
ABSENT = "serving-absent"  # who could not be measured, and why
SEARCH = "serving-search"  # the configuration that a search chose

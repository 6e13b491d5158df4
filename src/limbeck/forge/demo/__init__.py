"""The demo: contact details leaked in listing descriptions, from encoder to verified artifact.

In: a seed, and perhaps real descriptions or labelled texts. Out: an artifact, a table, a report.
Neighbours: the steps of the forge beside it, data and report below, the cli above.
"""

from __future__ import annotations

"""Models in the server: loaded, warm, counted, switched and let go.

`Models` finds the one that a request names; a `Hosted` is one loaded version.
"""

from __future__ import annotations

from limbeck.serve.models.hosted import Hosted

__all__ = ["Hosted"]

"""Models in the server: loaded, warm, counted, switched and let go.

`Models` finds the one that a request names; a `Hosted` is one loaded version.
"""

from __future__ import annotations

from limbeck.serve.models.hosted import Hosted
from limbeck.serve.models.models import Models

__all__ = ["Hosted", "Models"]

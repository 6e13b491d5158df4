"""All kinds of stages. A new one is a file in `stages` and a line here."""

from __future__ import annotations

from limbeck.forge.recipe.stage import Stage
from limbeck.forge.recipe.stages import distil, export, online, prune, qat, teacher, verify

_ALL = (
    teacher.STAGE,
    distil.STAGE,
    online.STAGE,
    prune.STAGE,
    qat.STAGE,
    export.STAGE,
    verify.STAGE,
)
STAGES: dict[str, Stage] = {stage.kind: stage for stage in _ALL}

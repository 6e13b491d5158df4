"""Whether stages follow one another: what each gives is what the next one takes."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.errors import InputError
from limbeck.forge.recipe.registry import STAGES
from limbeck.forge.recipe.sections import StageSection


def check(stages: Sequence[StageSection], name: str = "recipe") -> None:
    """The first stage takes nothing, each other one what was given before it, and an artifact
    comes out.

    Raises:
        InputError: otherwise; the message names the stage and what would fit.
    """
    given: str | None = None
    for index, section in enumerate(stages):
        stage = STAGES[section.kind]
        place = f"{name}: stage[{index}] ({section.kind})"
        if given is None and stage.takes:
            raise InputError(
                f"{place} takes a {' or a '.join(stage.takes)}, and nothing comes before it; begin "
                f"with {' or '.join(kind for kind, one in STAGES.items() if not one.takes)}"
            )
        if given is not None and given not in stage.takes:
            fits = [kind for kind, one in STAGES.items() if given in one.takes]
            raise InputError(
                f"{place} cannot come after stage[{index - 1}], which gives a {given}; what takes "
                f"a {given}: {', '.join(fits) or 'none'}"
            )
        if stage.gives != "check":
            given = stage.gives
    if given != "artifact":
        raise InputError(f"{name} ends without an artifact; add a [[stage]] with kind 'export'")

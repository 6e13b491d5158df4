"""Runs the points of a curve: one after another, or several lines at once.

A line is a dense model, or what is pruned from it in one pattern, each point from the one before.
Lines of one model have nothing in common but what they begin with, so that each can have a process
of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.forge import progress, side_by_side
from limbeck.forge.recipe import state
from limbeck.forge.recipe.curve.plan import Point
from limbeck.forge.recipe.finish import Finished
from limbeck.forge.recipe.runner import Options, Say, run
from limbeck.forge.side_by_side import Piece, Tell


@dataclass(frozen=True, kw_only=True)
class Place:
    """What all points of a curve share. begin: the state that a new run of one begins with."""

    home: Path
    planned: Sequence[Point]
    options: Options
    begin: state.RunState

    def run(self, index: int, say: Say, lenient: Say | None) -> Finished:
        """Run one point, or go on with it."""
        # the nearest first; a run of the recipe itself may have made some stages
        before = (one.recipe.run.out for one in reversed(self.planned[:index]))
        return run(
            self.planned[index].recipe,
            self.options,
            say=say,
            lenient=lenient,
            begin=self.begin,
            siblings=(*before, self.home),
            shared=self.home,
        )


def at_once(
    place: Place, first: int, jobs: int, say: Say, lenient: Say | None
) -> dict[int, Finished]:
    """Run all points from `first` on, as many lines at once as there are jobs.

    Raises:
        TrainingError: a process died; or what a point failed with. The others are stopped, and go
            on from there when the curve is made again.
    """
    found: dict[int, Finished] = {}
    with progress.bar("making the curve", len(place.planned) - first) as shown:

        def hear(name: str, told: Any) -> None:
            kind, about = told
            if kind == "point":
                index, made = about
                found[index] = made
                shown.advance(note=place.planned[index].name)
            elif kind == "say":
                say(about)
            elif lenient is not None:
                lenient(about)

        side_by_side.run(lines(place, first, lenient is not None), jobs, hear)
    return found


def lines(place: Place, first: int, lenient: bool) -> list[Piece]:
    """What is left to be run, dense models first, for others wait for them."""
    made = {point.line for point in place.planned[:first]}
    points: dict[str, list[int]] = {}
    for index, point in enumerate(place.planned[first:], first):
        points.setdefault(point.line, []).append(index)
    found = [
        Piece(
            name=name,
            work=functools.partial(_line, place, tuple(indexes), lenient),
            needs=frozenset({place.planned[indexes[0]].body} - made - {name}),
        )
        for name, indexes in points.items()
    ]
    return sorted(found, key=lambda piece: place.planned[points[piece.name][0]].pattern is not None)


def _line(place: Place, indexes: Sequence[int], lenient: bool, tell: Tell) -> None:
    """In a process of its own: tells what each point says, and what it made."""
    for index in indexes:
        name = place.planned[index].name

        def voice(kind: str, name: str = name) -> Say:
            return lambda message: tell((kind, f"{name}: {message}"))

        made = place.run(index, voice("say"), voice("lenient") if lenient else None)
        tell(("point", (index, made)))

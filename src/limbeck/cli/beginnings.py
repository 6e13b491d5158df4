"""What a student begins as, by the options of distil."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.errors import InputError
from limbeck.forge import students
from limbeck.forge.checkpoint import Checkpoint, Student


def check_beginning(
    layers: int | None, take: str | None, shape: str | None, encoder: str | None, random: bool
) -> None:
    """Refuse options that contradict one another, before a model is loaded.

    Raises:
        InputError: they do.
    """
    if encoder is not None and (layers is not None or take or shape or random):
        raise InputError("--from is a whole encoder: give no --layers, --take, --shape or --random")
    if shape is not None and layers is not None:
        raise InputError("--shape says how many layers there are; leave out --layers")
    if random and shape is None:
        raise InputError("--random needs a --shape")
    if random and take is not None:
        raise InputError("a student that begins at random takes no layers; leave out --take")


def begin(
    teachers: Sequence[Checkpoint],
    *,
    layers: int | None,
    taken: Sequence[int] | None,
    shape: str | None,
    encoder: str | None,
    random: bool,
    seed: int,
) -> Student:
    """The student before its first step.

    Raises:
        InputError: the first teacher has not what the student would take from it.
        ModelError: the encoder cannot be loaded.
    """
    wise, beside = teachers[0], teachers[1:]
    if encoder is not None:
        return students.from_encoder(wise, encoder, seed=seed, beside=beside)
    if shape is not None:
        init: students.Init = "random" if random else "teacher"
        return students.of_shape(wise, shape, init=init, layers=taken, seed=seed, beside=beside)
    if taken is not None:
        return students.from_layers(wise, taken, beside=beside)
    return students.every_other_layer(wise, layers, beside=beside)

"""What models answer to sets of rows: an array, or a packed one where every token is answered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.forge.tokenised import TokenisedSet
from limbeck.spec import Task

# Tasks whose head answers on every token.
TOKEN_TASKS: tuple[Task, ...] = ("token-classification", "question-answering")


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """Logits of all tokens of W windows, laid end to end.

    values: [T, L] f32; for question answering L is 2, start and end. offsets: [W + 1], where each
    window begins. tokens: digest of the token ids that were read (`TokenisedSet.digest`).
    """

    task: Task
    values: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]
    tokens: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def window(self, index: int) -> npt.NDArray[np.float32]:
        """[S, L] of one window."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]


# [N, L] of sequences; [M, C] of sentence vectors, first texts before second ones; or packed.
Answers = npt.NDArray[np.float32] | Packed


def check_answers(answers: Answers, task: Task, tokens: TokenisedSet, width: int) -> None:
    """Teachers' answers belong to what the student reads.

    Args:
        width: labels of the student, or the width of its vectors.

    Raises:
        InputError: another task, other rows, other labels, or other tokens.
    """
    if isinstance(answers, Packed) != (task in TOKEN_TASKS):
        raise InputError(f"the teacher's answers are not those of {task}")
    if not isinstance(answers, Packed):
        wanted = (len(tokens.ids), width)
        if answers.shape != wanted:
            what = "labels" if task == "text-classification" else "numbers of a vector"
            raise InputError(
                f"teacher logits are {list(answers.shape)}; {wanted[0]} rows and "
                f"{width} {what} need {list(wanted)}"
            )
        return
    if answers.task != task:
        raise InputError(f"the teacher's answers are for {answers.task}, the rows for {task}")
    if answers.values.shape[1] != width:
        raise InputError(
            f"the teacher scores {answers.values.shape[1]} labels and the student {width}"
        )
    if answers.tokens != tokens.digest:
        raise InputError(
            f"the teacher read other tokens ({len(answers)} windows, {len(answers.values)} "
            f"tokens) than the student reads ({len(tokens.ids)} windows, {tokens.offsets[-1]} "
            "tokens): token by token they learn only with the same rows, vocabulary and maximum"
        )

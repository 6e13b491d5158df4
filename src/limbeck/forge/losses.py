"""Losses of distillation: each a function of tensors, as its paper writes it.

Letters: b rows, S padded length, L labels, C hidden width, R relation heads. `mask` is [b, S], 1
for tokens and 0 for padding; what stands at padding counts for nothing.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch.nn import functional

from limbeck.spec import Problem

SoftLoss = Literal["kl", "mse"]


def hard_labels(
    logits: torch.Tensor,
    labels: torch.Tensor,
    problem: Problem,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss on labels, mean over all rows; a row without a label counts as a zero.

    Cross entropy for one label of several, the mean over labels of binary cross entropies for
    labels that do not exclude one another, squared difference for numbers.

    Args:
        logits: [b, L] f32. labels: as `limbeck.forge.examples.TrainingSet` has them. weights: [L]:
            of a row by its class; of a label where it is right ("multi_label").
    """
    if problem == "single_label":
        each = functional.cross_entropy(logits, labels, weight=weights, reduction="none")
        return each.mean()
    known = ~torch.isnan(labels)
    targets = torch.nan_to_num(labels)
    if problem == "multi_label":
        each = functional.binary_cross_entropy_with_logits(
            logits, targets, reduction="none", pos_weight=weights
        )
        return (each * known).mean(-1).mean()
    return ((logits[:, 0] - targets).square() * known).mean()


def soft_answers(
    student: torch.Tensor,
    teacher: torch.Tensor,
    problem: Problem,
    kind: SoftLoss,
    temperature: float,
) -> torch.Tensor:
    """The loss on a teacher's answers [b, L]: by divergence, or by squared differences.

    A number is no distribution, so regression always takes squared differences.
    """
    if kind == "mse" or problem == "regression":
        return logits_mse(student, teacher)
    if problem == "multi_label":
        return soft_labels(student, teacher, temperature)
    return soft_targets(student, teacher, temperature)


def soft_targets(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T**2 * KL(softmax(teacher / T) || softmax(student / T)), mean over rows.

    Hinton, Vinyals and Dean 2015, section 2.1: T**2 keeps the size of the gradient the same for
    every T.

    Args:
        student, teacher: logits [..., L] f32.
    """
    expected = functional.log_softmax(teacher / temperature, dim=-1)
    found = functional.log_softmax(student / temperature, dim=-1)
    divergence = functional.kl_div(found, expected, reduction="none", log_target=True).sum(-1)
    return divergence.mean() * temperature**2


def soft_labels(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """The same for labels that do not exclude one another: two classes each, by the sigmoid.

    Args:
        student, teacher: logits [b, L] f32.
    """
    expected = torch.sigmoid(teacher / temperature)
    found = student / temperature
    cross = functional.binary_cross_entropy_with_logits(found, expected, reduction="none")
    own = functional.binary_cross_entropy_with_logits(
        teacher / temperature, expected, reduction="none"
    )
    return (cross - own).sum(-1).mean() * temperature**2


def logits_mse(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of logits (Tang et al. 2019, equation 3)."""
    return functional.mse_loss(student, teacher)


def hidden_mse(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of hidden states over tokens and width (TinyBERT, equation 8).

    Args:
        student: [b, S, C], already projected to the teacher's width where it has another.
        teacher: [b, S, C].
    """
    squares = (student - teacher).square().mean(-1)
    return _over_tokens(squares, mask)


def hidden_cosine(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """1 - cosine of hidden states, mean over tokens (DistilBERT, section 2).

    Args:
        student, teacher: [b, S, C].
    """
    return _over_tokens(1 - functional.cosine_similarity(student, teacher, dim=-1), mask)


def relations(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, heads: int
) -> torch.Tensor:
    """KL of self-attention relations (MiniLM v2, Wang et al. 2021, equations 3 to 6).

    Queries (or keys, or values) of all heads are joined and cut into `heads` relation heads; those
    of a token with all others, scaled and through a softmax, are a distribution for each token. The
    width of a relation head may differ between teacher and student.

    Args:
        student: [b, S, C of the student]; teacher: [b, S, C of the teacher].
        heads: R; divides both widths.
    """
    found = _log_relations(student, mask, heads)
    expected = _log_relations(teacher, mask, heads)
    divergence = functional.kl_div(found, expected, reduction="none", log_target=True)
    # a padded token's column is impossible on both sides: exp(-inf) * (-inf - -inf) is no number
    divergence = torch.where(mask[:, None, None, :].bool(), divergence, divergence.new_zeros(()))
    return _over_tokens(divergence.sum(-1).mean(1), mask)


def _log_relations(vectors: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
    """[b, R, S, S]: the logarithm of each token's relations to all tokens."""
    rows, length, width = vectors.shape
    split = vectors.view(rows, length, heads, width // heads).transpose(1, 2)
    scores = split @ split.transpose(2, 3) / math.sqrt(width // heads)
    blocked = ~mask[:, None, None, :].bool()
    return functional.log_softmax(scores.masked_fill(blocked, float("-inf")), dim=-1)


def _over_tokens(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of [b, S] over what is no padding."""
    weights = mask.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1)


def hard_tags(
    logits: torch.Tensor,
    labels: torch.Tensor,
    scored: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross entropy of tags, mean over the tokens that speak for a word; one whose word has no tag
    counts as a zero.

    Args:
        logits: [b, S, L]. labels: [b, S], -100 where there is none. scored: [b, S] bool. weights:
            [L]: of a word by its tag.
    """
    each = functional.cross_entropy(
        logits.transpose(1, 2), labels, weight=weights, reduction="none"
    )
    return (each * scored).sum() / scored.sum().clamp(min=1)


def soft_tags(
    student: torch.Tensor,
    teacher: torch.Tensor,
    scored: torch.Tensor,
    kind: SoftLoss,
    temperature: float,
) -> torch.Tensor:
    """`soft_answers` over the tokens that speak for a word; [b, S, L], scored [b, S] bool."""
    if not bool(scored.any()):
        return student.sum() * 0.0
    return soft_answers(student[scored], teacher[scored], "single_label", kind, temperature)


def hard_spans(logits: torch.Tensor, places: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross entropies of first and last token of the answer among all tokens of the window, mean of
    the two and over windows (Devlin et al. 2019, section 4.2); an unlabelled window is a zero.

    Args:
        logits: [b, S, 2]. places: [b, 2], -100 where nobody has said. mask: [b, S].
    """
    scores = logits.masked_fill(~mask.bool().unsqueeze(-1), float("-inf"))
    return functional.cross_entropy(scores, places, reduction="none").mean()


def soft_spans(
    student: torch.Tensor,
    teacher: torch.Tensor,
    allowed: torch.Tensor,
    kind: SoftLoss,
    temperature: float,
) -> torch.Tensor:
    """T**2 * KL over the places at which an answer may begin, and those at which it may end, mean
    of the two and over windows; or the mean squared difference of these logits.

    Args:
        student, teacher: [b, S, 2]. allowed: [b, S] bool, at least one place in a window.
    """
    if kind == "mse":
        return logits_mse(student[allowed], teacher[allowed])
    blocked = ~allowed.unsqueeze(1)
    expected, found = (
        functional.log_softmax(
            (one.transpose(1, 2) / temperature).masked_fill(blocked, float("-inf")), dim=-1
        )
        for one in (teacher, student)
    )
    # an impossible place is so on both sides, and -inf - -inf is no number
    zero = found.new_zeros(())
    expected, found = (torch.where(blocked, zero, one) for one in (expected, found))
    shares = torch.where(blocked, zero, expected.exp())
    return (shares * (expected - found)).sum(-1).mean() * temperature**2


def similarity(first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared difference of cosine and label, mean over pairs; one without a label is a zero
    (Reimers and Gurevych 2019, section 3, the regression objective).

    Args:
        first, second: vectors [b, C]. labels: [b], NaN where there is none.
    """
    known = ~torch.isnan(labels)
    cosines = functional.cosine_similarity(first, second, dim=-1)
    return ((cosines - torch.nan_to_num(labels)).square() * known).mean()


def soft_vectors(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared distance to the teacher's vectors, mean over them (Reimers and Gurevych 2020,
    equation 1), as a share of their mean squared length, so that neither width nor length of the
    vectors weighs in. 2 - 2 * cosine for vectors of length 1.

    Args:
        student, teacher: [b, C].
    """
    return (student - teacher).square().sum() / teacher.square().sum().clamp(min=1e-12)

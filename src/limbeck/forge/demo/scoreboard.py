"""Scores -> the table's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.forge.demo.corpus import LabelledTexts
from limbeck.tasks import metrics

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One detector on one set.

    precision, recall, f1, false_alarm_rate: at the threshold that was chosen on validation data.
    recall_at_rate: with the threshold that gives the stated false-alarm rate on this very set.
    recall_by_kind: at that same threshold, for each kind of positive.
    """

    precision: float
    recall: float
    f1: float
    false_alarm_rate: float
    auc: float
    recall_at_rate: float
    calibration_error: float
    recall_by_kind: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def threshold(scores: Scores, texts: LabelledTexts, rate: float) -> float:
    """Where to decide, so that at most `rate` of the validation negatives are false alarms."""
    return metrics.threshold_at_false_alarm_rate(scores, texts.labels, rate)


def figures(scores: Scores, texts: LabelledTexts, decide_at: float, rate: float) -> Figures:
    """All figures of one detector on one test set."""
    labels = np.array(texts.labels)
    found = scores >= decide_at
    quality = metrics.precision_recall_f1(found, labels)
    strict = metrics.threshold_at_false_alarm_rate(scores, labels, rate)
    kinds: dict[str, float] = {}
    for kind in sorted({kind for kind, label in zip(texts.kinds, labels) if label}):
        of_kind = np.array([k == kind for k in texts.kinds]) & (labels == 1)
        kinds[kind] = float((scores[of_kind] >= strict).mean())
    return Figures(
        precision=quality.precision,
        recall=quality.recall,
        f1=quality.f1,
        false_alarm_rate=float(found[labels == 0].mean()),
        auc=metrics.auc(scores, labels),
        recall_at_rate=metrics.recall_at_false_alarm_rate(scores, labels, rate),
        calibration_error=metrics.expected_calibration_error(scores, labels),
        recall_by_kind=kinds,
    )


def operating_curve(
    scores: Scores, labels: Sequence[int], rates: Sequence[float]
) -> list[tuple[float, float]]:
    """(false-alarm rate, recall) points."""
    return [(rate, metrics.recall_at_false_alarm_rate(scores, labels, rate)) for rate in rates]


def reliability(scores: Scores, labels: Sequence[int], bins: int = 10) -> list[tuple[float, float]]:
    """(mean score, share of positives) of equally wide bins, for the calibration chart."""
    wanted = np.asarray(labels)
    place = np.clip((scores * bins).astype(int), 0, bins - 1)
    return [
        (float(scores[place == index].mean()), float(wanted[place == index].mean()))
        for index in range(bins)
        if (place == index).any()
    ]

"""Which dense student counts beside a pruned model, and what is said of the two."""

from __future__ import annotations

from limbeck.evaluation import Interval, rivals
from limbeck.evaluation.rivals import Beside


def test_the_dense_student_to_beat() -> None:
    dense = {"3": (3.0, 0.87), "2": (2.0, 0.88), "1": (1.0, 0.80)}
    assert rivals.rival_of(5.0, dense) == "2"  # the most accurate, and faster than need be
    assert rivals.rival_of(1.95, dense) == "2"  # a twentieth is nothing
    assert rivals.rival_of(1.9, dense) == "1"
    assert rivals.rival_of(0.5, dense) == "1"
    assert rivals.rival_of(5.0, {"3": (3.0, float("nan")), "1": (1.0, -0.2)}) == "1"
    assert rivals.rival_of(5.0, {}) is None


def beside(name: str, ms: float, ahead: float) -> Beside:
    behind = Interval(value=-ahead, low=-ahead - 0.5, high=-ahead + 0.5)
    return Beside(name=name, ms=ms, rival="dense", rival_ms=2.0, behind=behind)


def test_sentences_group_what_stands_alike() -> None:
    found = [beside("a", 2.0, 1.0), beside("b", 1.95, -1.0), beside("c", 1.0, 0.2)]
    assert rivals.told([*found, beside("d", 3.0, 2.0)]) == [
        "More accurate than the best dense student that is as fast: a (dense: +1.00 (+0.50 to "
        "+1.50)), d (dense: +2.00 (+1.50 to +2.50)).",
        "Less accurate than the best dense student that is as fast: b (dense: -1.00 (-1.50 to "
        "-0.50)).",
        "Faster than every dense student; not to be told from the fastest: c (dense: +0.20 "
        "(-0.30 to +0.70)).",
    ]
    assert rivals.told([]) == []
